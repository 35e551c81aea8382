package suite

import (
	"context"
	"strings"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// proxies compares pages and API calls that the edge proxies with stock `reverse_proxy`.
func proxies(ctx context.Context, b *Bench) error {
	site, err := b.Stage.StartSelf(ctx, "site")
	if err != nil {
		return err
	}
	var edges []*stage.Edge
	for _, config := range []stage.Caddyfile{
		stage.Shipped(), stage.APIProxy("600/1m"), stage.APIProxy(threeLimits...), stage.StockProxy(),
	} {
		e, err := b.Stage.StartEdge(ctx, config, b.Stage.Env(site))
		if err != nil {
			return err
		}
		edges = append(edges, e)
	}
	page, single, several, stock := edges[0], edges[1], edges[2], edges[3]
	stockServers := stock.Processes(site.Process())
	pages := b.pairs("proxied page", load.Request{Method: "GET", Path: "/"}, 200,
		page, page.Processes(site.Process()), stock, stockServers)
	err = b.measurePairs(ctx, pages, "Proxied pages", "A page of 1 kB through the shipped Caddyfile. "+
		"Stock is the same binary with only `log` and `reverse_proxy`.", "reverse_proxy", atMost(1.05), atMost(1))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		limits   string
		edge     *stage.Edge
		required report.Bound
	}{
		{"one limit", single, atMost(1.1)},
		{"three limits", several, atMost(1.2)},
	} {
		calls := b.pairs("proxied API call with key and "+c.limits, apiCall(), 200, c.edge,
			c.edge.Processes(append(b.Stage.Databases(), site.Process())...), stock, stockServers)
		err := b.measurePairs(ctx, calls, "Proxied API calls with key and "+c.limits,
			"The shipped Caddyfile with `api_key_auth` and `redis_rate_limit` on `/api/*` before its `reverse_proxy`. "+
				"Stock has neither, but the same transport.", "reverse_proxy", c.required, none)
		if err != nil {
			return err
		}
	}
	return nil
}

// threeLimits are limits by key that no side reaches. The key's own limit replaces the second.
var threeLimits = []string{"100000/1s name burst", "600/1m", "1000000000/month name monthly"}

// apiCall returns a call to the site's API with a key for each connection.
func apiCall() load.Request { return emptyRequest("GET", "/api/links", ownKeys) }

// pairConnections is the number of connections in comparisons with stock Caddy.
const pairConnections = 64

// pair is an edge and a stock Caddy that receive the same requests.
type pair struct {
	name        string
	edge, stock *side
}

// pairs returns a pair for HTTP/1.1 and a pair for HTTP/2.
func (b *Bench) pairs(name string, r load.Request, status int, edge *stage.Edge, edgeServers []measure.Process,
	stock *stage.Edge, stockServers []measure.Process) (both []pair) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		name := name + ", " + protocol
		side := func(suffix string, e *stage.Edge, servers []measure.Process) *side {
			connections := min(pairConnections, b.Mode.connections[0])
			s := b.httpSide(name+suffix, e.URL, connections, status, r, servers...)
			s.spec().HTTP2, s.spec().Duration = protocol == "HTTP/2", b.Mode.brief
			return s
		}
		p := pair{name, side(", edge", edge, edgeServers), side(", stock", stock, stockServers)}
		p.edge.edge = edge
		both = append(both, p)
	}
	return both
}

// measurePairs measures the pairs and adds a table, and a target for the CPU of each edge against
// its stock Caddy. directive is what the stock Caddy runs.
func (b *Bench) measurePairs(ctx context.Context, pairs []pair, title, note, directive string,
	required, goal report.Bound) error {
	var all []*side
	for _, p := range pairs {
		all = append(all, p.edge, p.stock)
	}
	if err := b.alternate(ctx, b.Mode.rounds, all...); err != nil {
		return err
	}
	for _, p := range pairs {
		b.Report.AddTarget("edge CPU per "+p.name+", against stock `"+directive+"`",
			ratio(p.edge, p.stock, cpuOf("edge", "Caddy")), report.Times, required, goal)
	}
	b.addTable(title, note, all...)
	return nil
}

// peerNote says what the peers of peerProxies lack.
const peerNote = "The edge, HAProxy and nginx check a key and a limit and write a line of JSON to the " +
	"access log. Stock Caddy only logs and proxies. HAProxy and nginx keep keys in a file, without scopes, expiry " +
	"and revocation on all edges within a second, and their limits are per process and end with it; " +
	"[peers](peers/README.md#haproxy-and-nginx) has more of what they lack."

// peerProxies compares the edge with proxies that an operator could use instead.
func peerProxies(ctx context.Context, b *Bench) error {
	site, err := b.Stage.StartSelf(ctx, "site")
	if err != nil {
		return err
	}
	connections := min(pairConnections, b.Mode.connections[0])
	var all []*side
	add := func(name, url string, processes ...measure.Process) *side {
		s := b.httpSide(name, url, connections, 200, apiCall(), append(processes, site.Process())...)
		s.spec().Duration = b.Mode.brief
		all = append(all, s)
		return s
	}
	var edges []*side
	for _, c := range []struct {
		name   string
		config stage.Caddyfile
	}{
		{"edge, key and limit", stage.APIProxy("600/1m")},
		{"stock Caddy", stage.StockProxy()},
		{"stock Caddy, default transport", stage.DefaultProxy()},
	} {
		e, err := b.Stage.StartEdge(ctx, c.config, b.Stage.Env(site))
		if err != nil {
			return err
		}
		s := add(c.name, e.URL, e.Processes(b.Stage.Databases()...)...)
		s.edge = e
		edges = append(edges, s)
	}
	var keys []string
	for i := range connections {
		request := apiCall().ForConnection(i)
		keys = append(keys, strings.TrimPrefix(request.Header["Authorization"], "Bearer "))
	}
	haproxy, err := b.Stage.StartHAProxy(ctx, site, keys)
	if err != nil {
		return err
	}
	nginx, err := b.Stage.StartNginx(ctx, site, keys)
	if err != nil {
		return err
	}
	peers := []*side{add("HAProxy", haproxy.URL, haproxy.Process()), add("nginx", nginx.URL, nginx.Process())}
	if err := b.alternate(ctx, b.Mode.rounds, all...); err != nil {
		return err
	}
	edge, stock, unpooled := edges[0], edges[1], edges[2]
	proxyCPU := cpuOf("edge", "Caddy", "HAProxy", "nginx")
	for _, t := range []struct {
		name     string
		a, b     *side
		quantity func(sample) float64
	}{
		{"CPU", stock, unpooled, proxyCPU},
		{"requests/s", stock, unpooled, rate},
		{"p99", stock, unpooled, p99},
		{"CPU", peers[0], stock, proxyCPU},
		{"CPU", peers[1], stock, proxyCPU},
		{"CPU", peers[0], edge, proxyCPU},
		{"CPU", peers[1], edge, proxyCPU},
	} {
		b.Report.AddTarget("proxied API call: "+t.name+" of "+t.a.name+", against "+t.b.name,
			ratio(t.a, t.b, t.quantity), report.Times, none, none)
	}
	b.addTable("Proxies that an operator could use instead", peerNote, all...)
	return nil
}
