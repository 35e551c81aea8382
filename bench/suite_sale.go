package main

import (
	"context"
	"fmt"
	"slices"
)

const createdStatus = 201

// sales compares the edge with itself without group commit and with pgbench, on
// known customers that no sale changes, without an Idempotency-Key.
func sales(ctx context.Context, b *bench) error {
	edge, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	single, err := b.stage.startEdge(ctx, ungrouped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	grouped := func(n int) *side { return b.saleSide("edge", edge, n) }
	alone := func(n int) *side { return b.saleSide("sale/ungrouped", single, n) }
	var edges, ungrouped, clients, all []*side
	for _, n := range b.mode.connections {
		edges, ungrouped = append(edges, grouped(n)), append(ungrouped, alone(n))
		all = append(all, edges[len(edges)-1], ungrouped[len(ungrouped)-1])
	}
	for _, n := range b.mode.clients {
		s, err := b.pgbenchSide("sale/pgbench", "known", n)
		if err != nil {
			return err
		}
		clients = append(clients, s)
	}
	if err := b.alternate(ctx, b.mode.rounds, append(all, clients...)...); err != nil {
		return err
	}
	b.judgeGrouping(edges, ungrouped)
	b.judgeAsking(edges[len(edges)-1])
	b.judgePgbench(edges[len(edges)-1], clients)
	b.peak = fastest(edges).of(rate).value
	further, err := b.drawSales(ctx, edges, ungrouped, clients, grouped, alone)
	b.tabulate("Sales of known, unchanged customers", "Without an Idempotency-Key; bars are judged on these. Where there is no spread, one round was measured, for the plot.",
		slices.Concat(all, clients, further)...)
	return err
}

func (b *bench) saleSide(name string, e *edge, connections int) *side {
	return b.send(name, e.url, connections, b.saleRequest(), e.processes(b.stage.backends()...)...).expecting(createdStatus).profiling(e)
}

// judgeGrouping: at the fewest connections ≥ 2×, at the most ≥ 2.5×.
func (b *bench) judgeGrouping(edges, ungrouped []*side) {
	for i, e := range edges {
		must := none
		switch i {
		case len(edges) - 1:
			must = atLeast(2.5)
		case 0:
			must = atLeast(2)
		}
		what := fmt.Sprintf("sales/s at %d connections, against a batch bound of 1", e.connections)
		b.judge(what, ratio(e, ungrouped[i], rate), times, must, atLeast(4))
	}
}

// judgeAsking: all of this counts only while Redis is asked each time. An edge
// that limits by itself, as Redis is late on a machine with other work, does less than it should.
func (b *bench) judgeAsking(e *side) {
	b.judge(fmt.Sprintf("questions to Redis a sale at %d connections", e.connections), e.of(redisCalls), share, atLeast(0.99), none)
}

// judgePgbench holds each figure against that number of pgbench's clients which does best in it.
func (b *bench) judgePgbench(edge *side, clients []*side) {
	database := cpuOf("Postgres")
	cheapest := best(clients, database)
	b.judge(fmt.Sprintf("Postgres's CPU a sale at %d connections, against pgbench (%d clients)", edge.connections, cheapest.connections),
		ratio(edge, cheapest, database), times, atMost(0.4), atMost(0.25))

	whole := func(s sample) float64 { return cpuOf("edge", "Postgres", "Redis", "pgbench")(s) }
	cheapest = best(clients, whole)
	b.judge(fmt.Sprintf("CPU a sale of edge, Postgres and Redis at %d connections, against pgbench and Postgres (%d clients)", edge.connections, cheapest.connections),
		ratio(edge, cheapest, whole), times, atMost(1), atMost(0.6))

	quickest := fastest(clients)
	b.judge(fmt.Sprintf("sales/s over HTTPS at %d connections, against pgbench's best (%d clients)", edge.connections, quickest.connections),
		ratio(edge, quickest, rate), times, none, atLeast(1))
}

// drawSales adds the curves of the plot, and measures those of its points that no bar needs.
func (b *bench) drawSales(ctx context.Context, edges, ungrouped, clients []*side, grouped, alone func(int) *side) (further []*side, err error) {
	for _, n := range b.mode.few {
		g, a := grouped(n), alone(n)
		edges, ungrouped, further = append(edges, g), append(ungrouped, a), append(further, g, a)
	}
	for _, n := range b.mode.plotted() {
		if !measured(clients, n) {
			s, err := b.pgbenchSide("sale/pgbench", "known", n)
			if err != nil {
				return nil, err
			}
			clients, further = append(clients, s), append(further, s)
		}
	}
	if err := b.alternate(ctx, 1, further...); err != nil {
		return nil, err
	}
	b.draw("edge", edges)
	b.draw("edge, batch bound 1", ungrouped)
	b.draw("pgbench", clients)
	return further, nil
}

func measured(sides []*side, connections int) bool {
	return slices.ContainsFunc(sides, func(s *side) bool { return s.connections == connections })
}
