package main

import "context"

// loneClient compares one connection with one client of pgbench: what a caller
// waits that has nobody to share a commit with.
func loneClient(ctx context.Context, b *bench) error {
	e, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	one := b.saleSide("edge", e, 1)
	client, err := b.pgbenchSide("pgbench", "known", 1)
	if err != nil {
		return err
	}
	if err := b.alternate(ctx, b.mode.rounds, one, client); err != nil {
		return err
	}
	more := func(quantity func(sample) float64) figure {
		return between(one, client, func(a, b sample) float64 { return quantity(a) - quantity(b) })
	}
	b.judge("p50 of one client at a time, against pgbench's one client", more(p50), added, atMost(0.8), atMost(0.4))
	b.judge("p99 of one client at a time, against pgbench's one client", more(p99), added, none, none)
	b.tabulate("One client at a time", "", one, client)
	return nil
}
