package suite

import (
	"context"
	"fmt"

	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// service compares the edge with what a team would otherwise write.
func service(ctx context.Context, b *Bench) error {
	edge, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	peer, err := b.Stage.StartService(ctx, 1)
	if err != nil {
		return err
	}
	cluster, err := b.Stage.StartService(ctx, 2)
	if err != nil {
		return err
	}
	front, err := b.Stage.StartEdge(ctx, stage.StockProxy(), stage.Backing{Upstream: peer.Address})
	if err != nil {
		return err
	}
	plain := func(n int) *side { return b.serviceSide("sale/service", "http://"+peer.Address, n, peer) }
	edges := at(b.Mode.connections, func(n int) *side { return b.saleSide("edge", edge, n) })
	services := at(b.Mode.connections, plain)
	most := b.Mode.most()
	others := []*side{
		b.serviceSide("sale/service, 2 workers", "http://"+cluster.Address, most, cluster),
		b.serviceSide("sale/service behind stock Caddy", front.URL, most, peer, front.Child),
	}
	all := append(inPairs(edges, services), others...)
	if err := b.alternate(ctx, b.Mode.rounds, all...); err != nil {
		return err
	}
	for i, e := range edges {
		what := fmt.Sprintf("sales/s over HTTPS at %d connections, against the service over plain HTTP", e.connections)
		b.Report.Judge(what, ratio(e, services[i], rate), report.Times, atLeast(2.5), atLeast(5))
	}
	for _, other := range others {
		what := fmt.Sprintf("sales/s over HTTPS at %d connections, against %s", most, other.name)
		b.Report.Judge(what, ratio(edges[len(edges)-1], other, rate), report.Times, none, none)
	}
	further := at(b.Mode.few, plain)
	err = b.alternate(ctx, 1, further...)
	all = append(all, further...)
	b.draw("service", "sale/service", all)
	b.tabulate("The service that a team would write", "Fastify, pg and ioredis, the same contract and SQL. "+
		"One process of Node.js over plain HTTP unless a row says otherwise. "+
		"Where there is no spread, one round was measured, for the plot.", all...)
	return err
}

// serviceSide returns the service at a URL, with the processes that it is made of.
func (b *Bench) serviceSide(name, url string, connections int, parts ...*stage.Child) *side {
	servers := b.Stage.Backends()
	for _, part := range parts {
		servers = append(servers, part.Process())
	}
	return b.send(name, url, connections, createdStatus, b.saleRequest(), servers...)
}
