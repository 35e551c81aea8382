package cli

import (
	"fmt"
	"io"
	"strings"

	"hoko.to/edge/plugin/postgres/admin"
)

// demoSale is the body of the published example, for the customer that admin.SeedDemo makes.
const demoSale = `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid","customerName":"John Doe","customerEmail":"john@example.com"}`

// writeBanner says where everything is, and how to record a sale.
func writeBanner(w io.Writer, e *devEdge, b *backing, key, upstream string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\nHoko Edge serves %s, with the site at %s behind it.\n\n", e.url(), upstream)
	fmt.Fprintf(&text, "  data      %s\n", e.dir)
	fmt.Fprintf(&text, "  Postgres  %s\n", orGiven(b.ownDatabase, "psql "+shellQuoted(b.databaseURL), "that of DATABASE_URL, workspace "+admin.DemoWorkspace))
	fmt.Fprintf(&text, "  Redis     %s\n", orGiven(b.ownRedis, b.redisURL, "that of REDIS_URL"))
	if socket := e.adminSocket(); socket != "" {
		fmt.Fprintf(&text, "  state     curl --unix-socket %s http://localhost/hoko/\n", shellQuoted(socket))
		fmt.Fprintf(&text, "  metrics   curl --unix-socket %s http://localhost/metrics\n", shellQuoted(socket))
	}
	if exports := exportLines(b); exports != "" {
		fmt.Fprintf(&text, "\nFor caddy hoko doctor and the other commands, in another shell:\n\n%s", exports)
	}
	fmt.Fprintf(&text, "\nThis records a sale:\n\n%s\n\nCtrl-C stops everything; the data stays.\n\n", curlLine(e, key))
	_, err := io.WriteString(w, text.String())
	return err
}

// orGiven shows the address of a server of our own. Others' hold passwords.
func orGiven(own bool, address, given string) string {
	if own {
		return address
	}
	return given
}

// exportLines sets the addresses of the servers of our own in a shell, a line each.
func exportLines(b *backing) (lines string) {
	if b.ownDatabase {
		lines += "export DATABASE_URL=" + shellQuoted(b.databaseURL) + "\n"
	}
	if b.ownRedis {
		lines += "export REDIS_URL=" + shellQuoted(b.redisURL) + "\n"
	}
	return lines
}

func curlLine(e *devEdge, key string) string {
	return strings.Join([]string{
		"curl -i --cacert", shellQuoted(e.caFile()), "-X POST", shellQuoted(e.url() + "/api/track/sale"),
		"-H", shellQuoted("Authorization: Bearer " + key), "-H", shellQuoted("Content-Type: application/json"), "-d", shellQuoted(demoSale),
	}, " ")
}

// shellQuoted is a text as one word of a shell.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
