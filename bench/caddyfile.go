package main

import (
	"fmt"
	"strings"

	moduleroot "hoko.to/edge"
)

// caddyfile is a configuration and what its environment lacks of it.
type caddyfile struct {
	text string
	hoko bool // it has the edge's app
}

// shipped is the Caddyfile of the product.
func shipped() caddyfile { return caddyfile{moduleroot.Caddyfile, true} }

// ungrouped is the shipped one with a batch bound of 1.
func ungrouped() caddyfile {
	return shipped().after("guesses 60/1m\n", "\t\tsales {\n\t\t\tbatch 1\n\t\t}\n")
}

// apiProxy is the shipped one with key and limit in front of the site's own API.
func apiProxy() caddyfile {
	return shipped().after("track_sale @sale\n", "\t\tapi_key_auth /api/*\n\t\tredis_rate_limit /api/* {\n\t\t\tlimit 600/1m\n\t\t}\n")
}

// after inserts lines. The shipped file has the line before them, or a test fails.
func (c caddyfile) after(line, lines string) caddyfile {
	if strings.Count(c.text, line) != 1 {
		panic(fmt.Sprintf("the shipped Caddyfile does not have one line %q", line))
	}
	c.text = strings.Replace(c.text, line, line+lines, 1)
	return c
}

// stock is the same binary without anything of the edge's in the way of a request.
func stock(directives string) caddyfile {
	return caddyfile{"{\n\tgrace_period 20s\n\tservers {\n\t\t0rtt off\n\t}\n}\n\n{$SITE_ADDRESS} {\n\tlog\n" + directives + "}\n", false}
}

// stockProxy passes everything to the site.
func stockProxy() caddyfile { return stock("\treverse_proxy {$UPSTREAM}\n") }

// stockRespond answers what an answer of the edge's says, with as many headers.
func stockRespond(a answer) caddyfile {
	var lines strings.Builder
	for _, name := range a.names() {
		fmt.Fprintf(&lines, "\theader %s `%s`\n", name, a.header.Get(name))
	}
	fmt.Fprintf(&lines, "\trespond `%s` %d\n", a.body, a.status)
	return stock(lines.String())
}

// local adds the global options that keep a Caddy to itself. Logs stay as they are.
func (c caddyfile) local(dir string, port int) string {
	const options = "{\n\tadmin unix/%[1]s/admin.sock\n\tpersist_config off\n\tstorage file_system %[1]s/storage\n" +
		"\tstorage_clean_interval off\n\thttps_port %[2]d\n\tdefault_bind 127.0.0.1\n\tauto_https disable_redirects\n\tlocal_certs\n\tskip_install_trust\n"
	return strings.Replace(c.text, "{\n", fmt.Sprintf(options, dir, port), 1)
}
