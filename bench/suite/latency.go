package suite

import (
	"context"
	"fmt"

	"hoko.to/edge/bench/report"
)

// openLoop sends at a fixed rate, at random times. A slow response delays no request, and each
// latency counts from the time at which the request was due.
func openLoop(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	connections := b.Mode.maxConnections()
	if b.peak == 0 {
		peak := b.saleSide("edge at its peak", e, connections)
		if err := b.alternate(ctx, 1, peak); err != nil {
			return err
		}
		b.peak = peak.figure(rate).Value
	}
	var all []*side
	for _, percent := range []int{25, 50, 75} {
		s := b.saleSide(fmt.Sprintf("%d %% of the peak", percent), e, connections)
		s.spec().Rate = b.peak * float64(percent) / 100
		all = append(all, s)
	}
	if err := b.alternate(ctx, b.Mode.fewerRounds, all...); err != nil {
		return err
	}
	t := report.Table{
		Title: "Latency at a fixed rate",
		Note: fmt.Sprintf("An open loop over %d connections. The peak is %.0f sales per second. "+
			"Latency counts from the time at which a request was due.", connections, b.peak),
		Head: []string{"side", "requests/s", "p50", "p99", "p99.9", "max"},
	}
	for _, s := range all {
		row := []string{s.name, report.Count.Format(s.figure(rate).Value)}
		for _, quantity := range []func(sample) float64{p50, p99, p999, longest} {
			row = append(row, report.Millis.Format(s.figure(quantity).Value))
		}
		t.Rows = append(t.Rows, row)
	}
	b.Report.Tables = append(b.Report.Tables, t)
	return nil
}

// loneClient compares one connection with one client of pgbench: the latency of a caller that
// shares its commit with no other.
func loneClient(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	edge, client := b.saleSide("edge", e, 1), b.pgbenchSide("pgbench", "known", 1)
	if err := b.alternate(ctx, b.Mode.rounds, edge, client); err != nil {
		return err
	}
	added := func(quantity func(sample) float64) report.Figure {
		return compare(edge, client, func(a, b sample) float64 { return quantity(a) - quantity(b) })
	}
	const suffix = " latency of a single connection, against one pgbench client"
	b.Report.AddTarget("p50"+suffix, added(p50), report.AddedMillis, atMost(0.8), atMost(0.4))
	b.Report.AddTarget("p99"+suffix, added(p99), report.AddedMillis, none, none)
	b.addTable("A single connection", "", edge, client)
	return nil
}
