package main

import (
	"context"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/measure"
)

// pairConnections is at how many connections Caddys are compared.
const pairConnections = 64

// pair is an edge and a stock Caddy that get the same requests.
type pair struct {
	name        string
	edge, stock *side
}

// caddyCPU is that of the Caddy of a side.
var caddyCPU = cpuOf("edge", "Caddy")

// pairs are one over HTTP/1.1 and one over HTTP/2.
func (b *bench) pairs(name string, r load.Request, status int, e *edge, behind []measure.Process, stock *edge, behindStock []measure.Process) (both []pair) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		connections := min(pairConnections, b.mode.connections[0])
		side := func(who string, e *edge, r load.Request, servers []measure.Process) *side {
			s := b.send(name+", "+protocol+", "+who, e.url, connections, r, servers...).expecting(status)
			s.spec().HTTP2, s.spec().Duration = protocol == "HTTP/2", b.mode.brief
			return s
		}
		both = append(both, pair{name + ", " + protocol, side("edge", e, r, behind).profiling(e), side("stock", stock, r, behindStock)})
	}
	return both
}

// judgePairs measures all pairs and holds the CPU of the edge against that of stock Caddy.
func (b *bench) judgePairs(ctx context.Context, pairs []pair, title, note, against string, must, may bound) error {
	var all []*side
	for _, p := range pairs {
		all = append(all, p.edge, p.stock)
	}
	if err := b.alternate(ctx, b.mode.rounds, all...); err != nil {
		return err
	}
	for _, p := range pairs {
		b.judge("edge CPU of a "+p.name+", against stock `"+against+"`", ratio(p.edge, p.stock, caddyCPU), times, must, may)
	}
	b.tabulate(title, note, all...)
	return nil
}
