package suite

import (
	"context"

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
	for _, config := range []stage.Caddyfile{stage.Shipped(), stage.APIProxy(), stage.StockProxy()} {
		e, err := b.Stage.StartEdge(ctx, config, b.Stage.Env(site))
		if err != nil {
			return err
		}
		edges = append(edges, e)
	}
	page, api, stock := edges[0], edges[1], edges[2]
	stockServers := stock.Processes(site.Process())
	pages := b.pairs("proxied page", load.Request{Method: "GET", Path: "/"}, 200,
		page, page.Processes(site.Process()), stock, stockServers)
	err = b.measurePairs(ctx, pages, "Proxied pages", "A page of 1 kB through the shipped Caddyfile. "+
		"Stock is the same binary with only `log` and `reverse_proxy`.", "reverse_proxy", atMost(1.05), atMost(1))
	if err != nil {
		return err
	}
	calls := b.pairs("proxied API call with key and rate limit", emptyRequest("GET", "/api/links", benchKey), 200,
		api, api.Processes(append(b.Stage.Databases(), site.Process())...), stock, stockServers)
	return b.measurePairs(ctx, calls, "Proxied API calls with key and rate limit",
		"The shipped Caddyfile with `api_key_auth` and `redis_rate_limit` on `/api/*` before its `reverse_proxy`. "+
			"Stock has neither.", "reverse_proxy", atMost(1.35), atMost(1.2))
}

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
