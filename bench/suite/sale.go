package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/report"
	"hoko.to/edge/bench/stage"
)

// sales compares the edge with itself without group commit and with pgbench, on
// known customers that no sale changes, without an Idempotency-Key.
func sales(ctx context.Context, b *Bench) error {
	edge, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	single, err := b.Stage.StartEdge(ctx, stage.Ungrouped(), b.Stage.Backing(nil))
	if err != nil {
		return err
	}
	grouped := func(n int) *side { return b.saleSide("edge", edge, n) }
	ungrouped := func(n int) *side { return b.saleSide("sale/ungrouped", single, n) }
	client := func(n int) *side { return b.pgbenchSide("sale/pgbench", "known", n) }
	m := b.Mode
	edges, others, clients := at(m.connections, grouped), at(m.connections, ungrouped), at(m.clients, client)
	all := append(inPairs(edges, others), clients...)
	if err := b.alternate(ctx, m.rounds, all...); err != nil {
		return err
	}
	b.judgeGrouping(edges, others)
	last := edges[len(edges)-1]
	// All of this counts only while Redis is asked each time. An edge that limits by itself, as Redis
	// is late on a machine with other work, does less than it should.
	b.Report.Judge(fmt.Sprintf("questions to Redis a sale at %d connections", last.connections),
		last.of(redisCalls), report.Share, atLeast(0.99), none)
	b.judgePgbench(last, clients)
	b.peak = fastest(edges).of(rate).Value

	unmeasured := slices.DeleteFunc(m.plotted(), func(n int) bool { return slices.Contains(m.clients, n) })
	further := slices.Concat(at(m.few, grouped), at(m.few, ungrouped), at(unmeasured, client))
	err = b.alternate(ctx, 1, further...)
	all = append(all, further...)
	b.draw("edge", "edge", all)
	b.draw("edge, batch bound 1", "sale/ungrouped", all)
	b.draw("pgbench", "sale/pgbench", all)
	b.tabulate("Sales of known, unchanged customers", "Without an Idempotency-Key; bars are judged on these. "+
		"Where there is no spread, one round was measured, for the plot.", all...)
	return err
}

// at returns a side for each number of connections.
func at(connections []int, side func(int) *side) (all []*side) {
	for _, n := range connections {
		all = append(all, side(n))
	}
	return all
}

// inPairs puts those that are compared after one another.
func inPairs(ones, others []*side) (all []*side) {
	for i, one := range ones {
		all = append(all, one, others[i])
	}
	return all
}

// judgeGrouping: at the fewest connections ≥ 2×, at the most ≥ 2.5×.
func (b *Bench) judgeGrouping(edges, ungrouped []*side) {
	for i, e := range edges {
		must := none
		switch i {
		case len(edges) - 1:
			must = atLeast(2.5)
		case 0:
			must = atLeast(2)
		}
		what := fmt.Sprintf("sales/s at %d connections, against a batch bound of 1", e.connections)
		b.Report.Judge(what, ratio(e, ungrouped[i], rate), report.Times, must, atLeast(4))
	}
}

// judgePgbench holds each figure against that number of pgbench's clients which does best in it.
func (b *Bench) judgePgbench(edge *side, clients []*side) {
	whole := cpuOf("edge", "Postgres", "Redis", "pgbench")
	for _, bar := range []struct {
		what      string
		client    *side
		quantity  func(sample) float64
		must, may report.Bound
	}{
		{"Postgres's CPU a sale at %d connections, against pgbench (%d clients)",
			best(clients, cpuOf("Postgres")), cpuOf("Postgres"), atMost(0.4), atMost(0.25)},
		{"CPU a sale of edge, Postgres and Redis at %d connections, against pgbench and Postgres (%d clients)",
			best(clients, whole), whole, atMost(1), atMost(0.6)},
		{"sales/s over HTTPS at %d connections, against pgbench's best (%d clients)",
			fastest(clients), rate, none, atLeast(1)},
	} {
		what := fmt.Sprintf(bar.what, edge.connections, bar.client.connections)
		b.Report.Judge(what, ratio(edge, bar.client, bar.quantity), report.Times, bar.must, bar.may)
	}
}

// kinds of sales that are not the usual one.
var kinds = []struct {
	name, script string
	change       func(*load.Request)
}{
	{"with Idempotency-Key", "keyed", func(r *load.Request) { r.Header["Idempotency-Key"] = "order_{seq}" }},
	{"changed customers", "changed", saying("John Doe", "John Doe {seq}")},
	{"new customers", "new", saying("customer_{pick}", "new_{seq}", `"amount"`, `"clickId":"click_{pick}","amount"`)},
	{"one hot customer", "hot", saying("{pick}", "00000000")},
}

// saying replaces texts of the body.
func saying(oldnew ...string) func(*load.Request) {
	return func(r *load.Request) { r.Body = strings.NewReplacer(oldnew...).Replace(r.Body) }
}

// kindsOfSales reports the same work on other customers.
func kindsOfSales(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	var all []*side
	for _, k := range kinds {
		s := b.saleSide("edge, "+k.name, e, b.Mode.most())
		k.change(&s.spec().Request)
		all = append(all, s, b.pgbenchSide("pgbench, "+k.name, k.script, b.Mode.clients[len(b.Mode.clients)-1]))
	}
	if err := b.alternate(ctx, b.Mode.reported, all...); err != nil {
		return err
	}
	b.tabulate("Other sales", "", all...)
	return nil
}
