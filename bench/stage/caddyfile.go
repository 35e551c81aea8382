package stage

import (
	"fmt"
	"strings"

	moduleroot "hoko.to/edge"
)

// Caddyfile is the configuration of an edge or a stock Caddy.
type Caddyfile struct {
	text string
	hoko bool // uses the edge's modules
}

// Shipped returns the Caddyfile of the repository.
func Shipped() Caddyfile { return Caddyfile{moduleroot.Caddyfile, true} }

// Ungrouped returns the shipped Caddyfile without group commit: a batch holds one sale.
func Ungrouped() Caddyfile {
	return Shipped().after("guesses 60/1m\n", "\t\tsales {\n\t\t\tbatch 1\n\t\t}\n")
}

// APIProxy returns the shipped Caddyfile with a key and limits required for the site's API. Each
// limit is what follows limit in the Caddyfile.
func APIProxy(limits ...string) Caddyfile {
	return Shipped().after("track_sale @sale\n", "\t\tapi_key_auth /api/*\n\t\tredis_rate_limit /api/* {\n"+
		"\t\t\tlimit "+strings.Join(limits, "\n\t\t\tlimit ")+"\n\t\t}\n")
}

// after inserts lines after a line. It panics if the Caddyfile does not have that line once.
func (c Caddyfile) after(line, lines string) Caddyfile {
	if strings.Count(c.text, line) != 1 {
		panic(fmt.Sprintf("the shipped Caddyfile must contain %q once", line))
	}
	c.text = strings.Replace(c.text, line, line+lines, 1)
	return c
}

// stock returns a Caddyfile without the edge's modules.
func stock(directives string) Caddyfile {
	const options = "{\n\tgrace_period 20s\n\tservers {\n\t\t0rtt off\n\t}\n}\n\n"
	return Caddyfile{options + "{$SITE_ADDRESS} {\n\tlog\n" + directives + "}\n", false}
}

// StockProxy returns a stock Caddyfile that proxies everything to the site, with the transport of
// the shipped one.
func StockProxy() Caddyfile {
	return stock("\treverse_proxy {$UPSTREAM} {\n\t\ttransport http {\n" +
		"\t\t\tkeepalive_idle_conns_per_host 256\n\t\t}\n\t}\n")
}

// DefaultProxy returns a stock Caddyfile that proxies everything to the site, with Caddy's default
// transport.
func DefaultProxy() Caddyfile { return stock("\treverse_proxy {$UPSTREAM}\n") }

// StockRespond returns a stock Caddyfile that sends a response of the edge, with the same number of
// headers.
func StockRespond(r Response) Caddyfile {
	var lines strings.Builder
	for _, name := range r.handlerHeaders() {
		fmt.Fprintf(&lines, "\theader %s `%s`\n", name, r.Header.Get(name))
	}
	fmt.Fprintf(&lines, "\trespond `%s` %d\n", r.Body, r.Status)
	return stock(lines.String())
}

// local returns the text with global options that confine files, sockets and ports to this run.
func (c Caddyfile) local(dir string, port int) string {
	const options = "{\n\tadmin unix/%[1]s/admin.sock\n\tpersist_config off\n\tstorage file_system %[1]s/storage\n" +
		"\tstorage_clean_interval off\n\thttps_port %[2]d\n\tdefault_bind 127.0.0.1\n" +
		"\tauto_https disable_redirects\n\tlocal_certs\n\tskip_install_trust\n"
	return strings.Replace(c.text, "{\n", fmt.Sprintf(options, dir, port), 1)
}
