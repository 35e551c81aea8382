package main

import (
	"context"
	"fmt"
)

// openLoop sends at a fixed rate, at random moments, whatever the edge does: a
// slow answer holds back no request, and the wait of each counts from when it was due.
func openLoop(ctx context.Context, b *bench) error {
	e, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	most := b.mode.connections[len(b.mode.connections)-1]
	if b.peak == 0 {
		closed := b.saleSide("edge, as fast as it goes", e, most)
		if err := b.alternate(ctx, 1, closed); err != nil {
			return err
		}
		b.peak = closed.of(rate).value
	}
	var all []*side
	for _, percent := range []int{25, 50, 75} {
		s := b.saleSide(fmt.Sprintf("%d %% of the peak", percent), e, most)
		s.spec().Rate = b.peak * float64(percent) / 100
		all = append(all, s)
	}
	if err := b.alternate(ctx, b.mode.reported, all...); err != nil {
		return err
	}
	t := table{title: "Latency at a fixed rate", note: fmt.Sprintf("An open loop over %d connections, of %.0f sales a second at the peak; each wait counts from when the request was due.", most, b.peak),
		head: []string{"", "a second", "p50", "p99", "p99.9", "worst"}}
	for _, s := range all {
		t.rows = append(t.rows, []string{s.name, count.show(s.of(rate).value), millis.show(s.of(p50).value), millis.show(s.of(p99).value), millis.show(s.of(p999).value), millis.show(s.of(worst).value)})
	}
	b.report.tables = append(b.report.tables, t)
	return nil
}
