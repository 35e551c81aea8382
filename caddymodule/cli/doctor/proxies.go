package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	aboutProxies = "trusted-proxies"
	proxiesFix   = "list only the addresses of your load balancers, see docs/operations.md, Behind a load balancer"
)

// trustedProxies checks from which addresses each server believes X-Forwarded-For: who may pretend
// to be another client has no budget of guesses.
func (c *checks) trustedProxies(app *caddyhttp.App) {
	for _, name := range sortedServers(app) {
		server := app.Servers[name]
		at := fmt.Sprintf("server %s (%s)", name, strings.Join(server.Listen, " "))
		if server.TrustedProxiesUnix {
			c.ok(aboutProxies, "%s trusts every client of a Unix socket: right only if your proxy alone may open it",
				at)
		}
		switch {
		case server.TrustedProxiesRaw != nil:
		case server.TrustedProxiesUnix:
			c.clientIPHeaders(at, server)
			continue
		default:
			c.ok(aboutProxies, "%s trusts none: right if clients connect to it directly; "+
				"behind a balancer, all clients would share one budget of guesses", at)
			continue
		}
		var source struct {
			Source string   `json:"source"`
			Ranges []string `json:"ranges"`
		}
		if err := json.Unmarshal(server.TrustedProxiesRaw, &source); err != nil {
			c.failConfig(fmt.Errorf("trusted_proxies of %s: %w", at, err), proxiesFix)
			continue
		}
		before := c.Warnings + c.Failures
		if source.Source != "static" {
			c.ok(aboutProxies, "%s trusts what the module %s says, which is not checked", at, source.Source)
		} else {
			c.proxyRanges(at, source.Ranges)
		}
		c.clientIPHeaders(at, server)
		if source.Source == "static" && c.Warnings+c.Failures == before {
			c.ok(aboutProxies, "%s trusts %s", at, joinSome(source.Ranges))
		}
	}
}

// internalRanges contain no address of the internet.
var internalRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// The shortest prefixes of public ranges without a warning. Those of the large networks that proxy
// for others are /12 to /29 and, for IPv6, /29 to /48.
const minBits4, minBits6 = 12, 28

func (c *checks) proxyRanges(at string, ranges []string) {
	var wide []string
	for _, text := range ranges {
		prefix, err := caddyhttp.CIDRExpressionToPrefix(text)
		if err != nil {
			c.failConfig(fmt.Errorf("trusted_proxies of %s: %w", at, err), proxiesFix)
			return
		}
		prefix = prefix.Masked()
		shortest := minBits4
		if prefix.Addr().Is6() {
			shortest = minBits6
		}
		internal := slices.ContainsFunc(internalRanges, func(r netip.Prefix) bool {
			return r.Bits() <= prefix.Bits() && r.Contains(prefix.Addr())
		})
		if !internal && prefix.Bits() < shortest {
			wide = append(wide, text)
		}
	}
	if len(wide) > 0 {
		c.warn(aboutProxies, fmt.Sprintf("%s trusts %s: a client there may pick its address, and guess keys without a "+
			"budget", at, joinSome(wide)), proxiesFix)
	}
	missing := slices.ContainsFunc(caddyhttp.PrivateRangesCIDR(),
		func(r string) bool { return !slices.Contains(ranges, r) })
	if !missing {
		c.ok(aboutProxies, "%s trusts private_ranges: right only if every private address is yours", at)
	}
}

// clientIPHeaders checks how a server that trusts proxies reads a client's address.
func (c *checks) clientIPHeaders(at string, server *caddyhttp.Server) {
	var names []string
	for _, name := range server.ClientIPHeaders {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	forwardedFor := len(names) == 0 || slices.Contains(names, "X-Forwarded-For")
	if forwardedFor && server.TrustedProxiesStrict == 0 {
		c.warn(aboutProxies, at+" believes the first address in X-Forwarded-For, which a client may send itself",
			"add trusted_proxies_strict to the servers block")
	}
	switch {
	case slices.Contains(names, "Forwarded"):
		c.warn(aboutProxies, at+" reads the client's address from Forwarded, whose syntax Caddy does not know",
			"remove Forwarded from client_ip_headers")
	case len(names) > 1:
		c.warn(aboutProxies, fmt.Sprintf("%s reads the client's address from %s: a client may send one that its proxy "+
			"does not set", at, strings.Join(names, ", ")),
			"list only the header in client_ip_headers that your proxy sets")
	case len(names) == 1 && !forwardedFor:
		c.ok(aboutProxies, "%s reads the client's address from %s: right only if the proxy always sets it", at,
			names[0])
	}
}

// joinSome returns at most five texts with commas.
func joinSome(texts []string) string {
	const most = 5
	if len(texts) <= most {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:most], ", "), len(texts)-most)
}
