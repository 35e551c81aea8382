package main

import (
	"context"
	"fmt"
)

// service compares the edge with what a team would otherwise write.
func service(ctx context.Context, b *bench) error {
	edge, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	peer, err := b.stage.startService(ctx, 1)
	if err != nil {
		return err
	}
	cluster, err := b.stage.startService(ctx, 2)
	if err != nil {
		return err
	}
	front, err := b.stage.startEdge(ctx, stockProxy(), backing{upstream: peer.address})
	if err != nil {
		return err
	}
	plain := func(n int) *side { return b.serviceSide("sale/service", "http://"+peer.address, n, peer) }
	var edges, services, all []*side
	for _, n := range b.mode.connections {
		e, s := b.saleSide("edge", edge, n), plain(n)
		edges, services, all = append(edges, e), append(services, s), append(all, e, s)
	}
	last := len(edges) - 1
	most := edges[last].connections
	others := []*side{
		b.serviceSide("sale/service, 2 workers", "http://"+cluster.address, most, cluster),
		b.serviceSide("sale/service behind stock Caddy", front.url, most, peer, front.child),
	}
	if err := b.alternate(ctx, b.mode.rounds, append(all, others...)...); err != nil {
		return err
	}
	for i, e := range edges {
		what := fmt.Sprintf("sales/s over HTTPS at %d connections, against the service over plain HTTP", e.connections)
		b.judge(what, ratio(e, services[i], rate), times, atLeast(2.5), atLeast(5))
	}
	for _, other := range others {
		what := fmt.Sprintf("sales/s over HTTPS at %d connections, against %s", most, other.name)
		b.judge(what, ratio(edges[last], other, rate), times, none, none)
	}
	further, err := b.drawService(ctx, services, plain)
	b.tabulate("The service that a team would write", "Fastify, pg and ioredis, the same contract and SQL. One process of Node.js over plain HTTP unless a row says otherwise. "+
		"Where there is no spread, one round was measured, for the plot.", append(append(all, others...), further...)...)
	return err
}

// serviceSide is the service at a URL, with the processes that it is made of.
func (b *bench) serviceSide(name, url string, connections int, parts ...*child) *side {
	servers := b.stage.backends()
	for _, part := range parts {
		servers = append(servers, part.process())
	}
	return b.send(name, url, connections, b.saleRequest(), servers...).expecting(createdStatus)
}

func (b *bench) drawService(ctx context.Context, services []*side, plain func(int) *side) (further []*side, err error) {
	for _, n := range b.mode.few {
		further = append(further, plain(n))
	}
	if err := b.alternate(ctx, 1, further...); err != nil {
		return nil, err
	}
	b.draw("service", append(services, further...))
	return further, nil
}
