package suite

import (
	"context"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// proxies compares pages and API calls that pass the edge with stock `reverse_proxy`.
func proxies(ctx context.Context, b *Bench) error {
	site, err := b.Stage.StartSelf(ctx, "site")
	if err != nil {
		return err
	}
	var edges []*stage.Edge
	for _, config := range []stage.Caddyfile{stage.Shipped(), stage.APIProxy(), stage.StockProxy()} {
		e, err := b.Stage.StartEdge(ctx, config, b.Stage.Backing(site))
		if err != nil {
			return err
		}
		edges = append(edges, e)
	}
	page, api, stock := edges[0], edges[1], edges[2]
	behindStock := stock.Processes(site.Process())
	pages := b.pairs("proxied page", load.Request{Method: "GET", Path: "/"}, 200,
		page, page.Processes(site.Process()), stock, behindStock)
	if err := b.judgePairs(ctx, pages, "proxy", "A page of 1 kB through the shipped Caddyfile; "+
		"stock is the same binary with `log` and `reverse_proxy` alone.", "reverse_proxy", atMost(1.05), atMost(1)); err != nil {
		return err
	}
	calls := b.pairs("proxied API call with key and limit", keyed("GET", "/api/links", benchKey), 200,
		api, api.Processes(append(b.Stage.Backends(), site.Process())...), stock, behindStock)
	return b.judgePairs(ctx, calls, "proxy+key+limit", "The shipped Caddyfile with `api_key_auth` and `redis_rate_limit` "+
		"on `/api/*` before its `reverse_proxy`; stock has neither.", "reverse_proxy", atMost(1.35), atMost(1.2))
}

// pairConnections is at how many connections Caddys are compared.
const pairConnections = 64

// pair is an edge and a stock Caddy that get the same requests.
type pair struct {
	name        string
	edge, stock *side
}

// pairs are one over HTTP/1.1 and one over HTTP/2.
func (b *Bench) pairs(name string, r load.Request, status int, edge *stage.Edge, behind []measure.Process,
	stock *stage.Edge, behindStock []measure.Process) (both []pair) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		name := name + ", " + protocol
		side := func(who string, e *stage.Edge, servers []measure.Process) *side {
			connections := min(pairConnections, b.Mode.connections[0])
			s := b.send(name+", "+who, e.URL, connections, status, r, servers...)
			s.spec().HTTP2, s.spec().Duration = protocol == "HTTP/2", b.Mode.brief
			return s
		}
		p := pair{name, side("edge", edge, behind), side("stock", stock, behindStock)}
		p.edge.edge = edge
		both = append(both, p)
	}
	return both
}

// judgePairs measures all pairs and holds the CPU of the edge against that of stock Caddy.
func (b *Bench) judgePairs(ctx context.Context, pairs []pair, title, note, against string, must, may report.Bound) error {
	var all []*side
	for _, p := range pairs {
		all = append(all, p.edge, p.stock)
	}
	if err := b.alternate(ctx, b.Mode.rounds, all...); err != nil {
		return err
	}
	for _, p := range pairs {
		b.Report.Judge("edge CPU of a "+p.name+", against stock `"+against+"`",
			ratio(p.edge, p.stock, cpuOf("edge", "Caddy")), report.Times, must, may)
	}
	b.tabulate(title, note, all...)
	return nil
}
