package suite

import (
	"context"
	"fmt"

	"hoko.to/edge/bench/report"
)

// openLoop sends at a fixed rate, at random moments, whatever the edge does: a slow answer holds
// back no request, and the wait of each counts from when it was due.
func openLoop(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	most := b.Mode.most()
	if b.peak == 0 {
		closed := b.saleSide("edge, as fast as it goes", e, most)
		if err := b.alternate(ctx, 1, closed); err != nil {
			return err
		}
		b.peak = closed.of(rate).Value
	}
	var all []*side
	for _, percent := range []int{25, 50, 75} {
		s := b.saleSide(fmt.Sprintf("%d %% of the peak", percent), e, most)
		s.spec().Rate = b.peak * float64(percent) / 100
		all = append(all, s)
	}
	if err := b.alternate(ctx, b.Mode.reported, all...); err != nil {
		return err
	}
	t := report.Table{
		Title: "Latency at a fixed rate",
		Note: fmt.Sprintf("An open loop over %d connections, of %.0f sales a second at the peak; "+
			"each wait counts from when the request was due.", most, b.peak),
		Head: []string{"", "a second", "p50", "p99", "p99.9", "worst"},
	}
	for _, s := range all {
		row := []string{s.name, report.Count.Show(s.of(rate).Value)}
		for _, quantity := range []func(sample) float64{p50, p99, p999, worst} {
			row = append(row, report.Millis.Show(s.of(quantity).Value))
		}
		t.Rows = append(t.Rows, row)
	}
	b.Report.Tables = append(b.Report.Tables, t)
	return nil
}

// loneClient compares one connection with one client of pgbench: how long a caller waits that has
// no other to share a commit with.
func loneClient(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	one, client := b.saleSide("edge", e, 1), b.pgbenchSide("pgbench", "known", 1)
	if err := b.alternate(ctx, b.Mode.rounds, one, client); err != nil {
		return err
	}
	more := func(quantity func(sample) float64) report.Figure {
		return between(one, client, func(a, b sample) float64 { return quantity(a) - quantity(b) })
	}
	const against = " of one client at a time, against pgbench's one client"
	b.Report.Judge("p50"+against, more(p50), report.Added, atMost(0.8), atMost(0.4))
	b.Report.Judge("p99"+against, more(p99), report.Added, none, none)
	b.tabulate("One client at a time", "", one, client)
	return nil
}
