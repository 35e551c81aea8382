package cli

import (
	"fmt"
	"io"
	"strings"

	"hoko.to/edge/caddymodule/cli/command"
	"hoko.to/edge/plugin/postgres/admin"
)

// demoSale is the request body of the example in docs/, for the customer that admin.SeedDemo adds.
const demoSale = `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid",` +
	`"customerName":"John Doe","customerEmail":"john@example.com"}`

// writeBanner prints the addresses of everything, and a curl command that records a sale.
func writeBanner(w io.Writer, e *devEdge, s *servers, key, upstream string) error {
	database, redis := "DATABASE_URL, workspace "+admin.DemoWorkspace, "REDIS_URL" // their values hold passwords
	exports := ""
	if s.ownDatabase {
		database = "psql " + command.ShellQuote(s.databaseURL)
		exports += "export DATABASE_URL=" + command.ShellQuote(s.databaseURL) + "\n"
	}
	if s.ownRedis {
		redis = s.redisURL
		exports += "export REDIS_URL=" + command.ShellQuote(s.redisURL) + "\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nHoko Edge serves %s and proxies to the site at %s.\n\n", e.url(), upstream)
	fmt.Fprintf(&text, "  data      %s\n  Postgres  %s\n  Redis     %s\n", e.dir, database, redis)
	if socket := e.adminSocket(); socket != "" {
		fmt.Fprintf(&text, "  state     curl --unix-socket %s http://localhost/hoko/\n", command.ShellQuote(socket))
		fmt.Fprintf(&text, "  metrics   curl --unix-socket %s http://localhost/metrics\n", command.ShellQuote(socket))
	}
	if exports != "" {
		fmt.Fprintf(&text, "\nTo use caddy hoko doctor and the other commands in another shell:\n\n%s", exports)
	}
	fmt.Fprintf(&text, "\nTo record a sale:\n\n%s\n\nCtrl-C stops everything; the data stays.\n\n", curlLine(e, key))
	_, err := io.WriteString(w, text.String())
	return err
}

func curlLine(e *devEdge, key string) string {
	return "curl -i --cacert " + command.ShellQuote(e.caFile()) +
		" -X POST " + command.ShellQuote(e.url()+"/api/track/sale") +
		" -H " + command.ShellQuote("Authorization: Bearer "+key) + " -H 'Content-Type: application/json'" +
		" -d " + command.ShellQuote(demoSale)
}
