package stage

import (
	"fmt"
	"strings"

	moduleroot "hoko.to/edge"
)

// Caddyfile is a configuration and what its environment lacks of it.
type Caddyfile struct {
	text string
	hoko bool // it has the edge's app
}

// Shipped is the Caddyfile of the product.
func Shipped() Caddyfile { return Caddyfile{moduleroot.Caddyfile, true} }

// Ungrouped is the shipped one with a batch bound of 1.
func Ungrouped() Caddyfile {
	return Shipped().after("guesses 60/1m\n", "\t\tsales {\n\t\t\tbatch 1\n\t\t}\n")
}

// APIProxy is the shipped one with key and limit in front of the site's own API.
func APIProxy() Caddyfile {
	return Shipped().after("track_sale @sale\n", "\t\tapi_key_auth /api/*\n\t\tredis_rate_limit /api/* {\n\t\t\tlimit 600/1m\n\t\t}\n")
}

// after inserts lines. The shipped file has the line before them, or a test fails.
func (c Caddyfile) after(line, lines string) Caddyfile {
	if strings.Count(c.text, line) != 1 {
		panic(fmt.Sprintf("the shipped Caddyfile does not have one line %q", line))
	}
	c.text = strings.Replace(c.text, line, line+lines, 1)
	return c
}

// stock is the same binary without anything of the edge's in the way of a request.
func stock(directives string) Caddyfile {
	return Caddyfile{"{\n\tgrace_period 20s\n\tservers {\n\t\t0rtt off\n\t}\n}\n\n{$SITE_ADDRESS} {\n\tlog\n" + directives + "}\n", false}
}

// StockProxy passes everything to the site.
func StockProxy() Caddyfile { return stock("\treverse_proxy {$UPSTREAM}\n") }

// StockRespond answers what an answer of the edge's says, with as many headers.
func StockRespond(a Answer) Caddyfile {
	var lines strings.Builder
	for _, name := range a.names() {
		fmt.Fprintf(&lines, "\theader %s `%s`\n", name, a.Header.Get(name))
	}
	fmt.Fprintf(&lines, "\trespond `%s` %d\n", a.Body, a.Status)
	return stock(lines.String())
}

// local adds the global options that keep a Caddy to itself. Logs stay as they are.
func (c Caddyfile) local(dir string, port int) string {
	const options = "{\n\tadmin unix/%[1]s/admin.sock\n\tpersist_config off\n\tstorage file_system %[1]s/storage\n" +
		"\tstorage_clean_interval off\n\thttps_port %[2]d\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n\tlocal_certs\n\tskip_install_trust\n"
	return strings.Replace(c.text, "{\n", fmt.Sprintf(options, dir, port), 1)
}
