package cli

import (
	"fmt"
	"io"
	"strings"

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
		database = "psql " + shellQuote(s.databaseURL)
		exports += "export DATABASE_URL=" + shellQuote(s.databaseURL) + "\n"
	}
	if s.ownRedis {
		redis = s.redisURL
		exports += "export REDIS_URL=" + shellQuote(s.redisURL) + "\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nHoko Edge serves %s and proxies to the site at %s.\n\n", e.url(), upstream)
	fmt.Fprintf(&text, "  data      %s\n  Postgres  %s\n  Redis     %s\n", e.dir, database, redis)
	if socket := e.adminSocket(); socket != "" {
		fmt.Fprintf(&text, "  state     curl --unix-socket %s http://localhost/hoko/\n", shellQuote(socket))
		fmt.Fprintf(&text, "  metrics   curl --unix-socket %s http://localhost/metrics\n", shellQuote(socket))
	}
	if exports != "" {
		fmt.Fprintf(&text, "\nTo use caddy hoko doctor and the other commands in another shell:\n\n%s", exports)
	}
	fmt.Fprintf(&text, "\nTo record a sale:\n\n%s\n\nCtrl-C stops everything; the data stays.\n\n", curlLine(e, key))
	_, err := io.WriteString(w, text.String())
	return err
}

func curlLine(e *devEdge, key string) string {
	return "curl -i --cacert " + shellQuote(e.caFile()) + " -X POST " + shellQuote(e.url()+"/api/track/sale") +
		" -H " + shellQuote("Authorization: Bearer "+key) + " -H 'Content-Type: application/json'" +
		" -d " + shellQuote(demoSale)
}

// shellQuote returns text as one word of a shell command.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
