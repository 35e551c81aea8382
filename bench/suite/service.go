package suite

import (
	"context"
	"fmt"
	"net/http"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// service compares the edge with the service in bench/peers/fastify.
func service(ctx context.Context, b *Bench) error {
	edge, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	single, err := b.Stage.StartService(ctx, 1)
	if err != nil {
		return err
	}
	cluster, err := b.Stage.StartService(ctx, 2)
	if err != nil {
		return err
	}
	proxy, err := b.Stage.StartEdge(ctx, stage.StockProxy(), stage.Env{Upstream: single.Address})
	if err != nil {
		return err
	}
	plain := func(n int) *side { return b.serviceSide("service", "http://"+single.Address, n, single) }
	edges := forEach(b.Mode.connections, func(n int) *side { return b.saleSide("edge", edge, n) })
	services := forEach(b.Mode.connections, plain)
	most := b.Mode.maxConnections()
	variants := []*side{
		b.serviceSide("service, 2 workers", "http://"+cluster.Address, most, cluster),
		b.serviceSide("service behind stock Caddy", proxy.URL, most, single, proxy.Child),
	}
	all := append(interleave(edges, services), variants...)
	if err := b.alternate(ctx, b.Mode.rounds, all...); err != nil {
		return err
	}
	for i, e := range edges {
		name := fmt.Sprintf("sales/s over HTTPS at %d connections, against the service over plain HTTP", e.connections)
		b.Report.AddTarget(name, ratio(e, services[i], rate), report.Times, atLeast(2.5), atLeast(5))
	}
	for _, v := range variants {
		name := fmt.Sprintf("sales/s over HTTPS at %d connections, against the %s", most, v.name)
		b.Report.AddTarget(name, ratio(edges[len(edges)-1], v, rate), report.Times, none, none)
	}
	more := forEach(b.Mode.few, plain)
	err = b.alternate(ctx, 1, more...)
	all = append(all, more...)
	b.addCurve("service", all)
	b.addTable("A Fastify service", "Fastify, pg and ioredis with the same contract and the SQL of pgbench. "+
		"One Node.js process over plain HTTP, unless the row says otherwise. "+
		"Rows without a spread were measured once, for the plot.", all...)
	return err
}

// serviceSide returns a side that records sales at a URL. parts are the processes of the service.
func (b *Bench) serviceSide(name, url string, connections int, parts ...*stage.Child) *side {
	servers := b.Stage.Databases()
	for _, part := range parts {
		servers = append(servers, part.Process())
	}
	return b.httpSide(name, url, connections, http.StatusCreated, b.saleRequest(ownKeys), servers...)
}
