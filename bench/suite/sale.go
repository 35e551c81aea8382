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

// sales compares the edge with itself without group commit, and with pgbench. The sales leave known
// customers unchanged and have no Idempotency-Key.
func sales(ctx context.Context, b *Bench) error {
	edge, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	ungroupedEdge, err := b.Stage.StartEdge(ctx, stage.Ungrouped(), b.Stage.Env(nil))
	if err != nil {
		return err
	}
	const ungroupedName = "edge without group commit"
	grouped := func(n int) *side { return b.saleSide("edge", edge, n) }
	ungrouped := func(n int) *side { return b.saleSide(ungroupedName, ungroupedEdge, n) }
	client := func(n int) *side { return b.pgbenchSide("pgbench", "known", n) }
	m := b.Mode
	edges, others := forEach(m.connections, grouped), forEach(m.connections, ungrouped)
	clients := forEach(m.clients, client)
	all := append(interleave(edges, others), clients...)
	if err := b.alternate(ctx, m.rounds, all...); err != nil {
		return err
	}
	b.compareUngrouped(edges, others)
	most := edges[len(edges)-1]
	// The other figures are valid only if the edge asks Redis each time. If Redis is late because
	// the machine is busy, the edge counts locally, which is cheaper.
	b.Report.AddTarget(fmt.Sprintf("Redis calls per sale at %d connections", most.connections),
		most.figure(redisCalls), report.Fraction, atLeast(0.99), none)
	b.comparePgbench(most, clients)
	b.peak = fastest(edges).figure(rate).Value

	moreClients := slices.DeleteFunc(m.plotConnections(), func(n int) bool { return slices.Contains(m.clients, n) })
	more := slices.Concat(forEach(m.few, grouped), forEach(m.few, ungrouped), forEach(moreClients, client))
	err = b.alternate(ctx, 1, more...)
	all = append(all, more...)
	b.addCurve("edge", all)
	b.addCurve(ungroupedName, all)
	b.addCurve("pgbench", all)
	b.addTable("Sales to known, unchanged customers", "Without an Idempotency-Key. "+
		"Rows without a spread were measured once, for the plot.", all...)
	return err
}

// forEach returns a side for each number of connections.
func forEach(connections []int, newSide func(int) *side) (all []*side) {
	for _, n := range connections {
		all = append(all, newSide(n))
	}
	return all
}

// interleave returns a[0], b[0], a[1], b[1] and so on.
func interleave(a, b []*side) (all []*side) {
	for i := range a {
		all = append(all, a[i], b[i])
	}
	return all
}

func (b *Bench) compareUngrouped(edges, ungrouped []*side) {
	for i, e := range edges {
		required := none
		switch i {
		case len(edges) - 1:
			required = atLeast(2.5)
		case 0:
			required = atLeast(2)
		}
		b.Report.AddTarget(fmt.Sprintf("sales/s at %d connections, against the %s", e.connections, ungrouped[i].name),
			ratio(e, ungrouped[i], rate), report.Times, required, atLeast(4))
	}
}

// comparePgbench compares each figure with pgbench at the number of clients that is best for
// pgbench.
func (b *Bench) comparePgbench(edge *side, clients []*side) {
	total := cpuOf("edge", "Postgres", "Redis", "pgbench")
	for _, t := range []struct {
		name           string
		client         *side
		quantity       func(sample) float64
		required, goal report.Bound
	}{
		{"Postgres CPU per sale at %d connections, against pgbench (%d clients)",
			lowest(clients, cpuOf("Postgres")), cpuOf("Postgres"), atMost(0.4), atMost(0.25)},
		{"CPU per sale of edge, Postgres and Redis at %d connections, against pgbench and Postgres (%d clients)",
			lowest(clients, total), total, atMost(1), atMost(0.6)},
		{"sales/s over HTTPS at %d connections, against pgbench (%d clients)",
			fastest(clients), rate, none, atLeast(1)},
	} {
		b.Report.AddTarget(fmt.Sprintf(t.name, edge.connections, t.client.connections),
			ratio(edge, t.client, t.quantity), report.Times, t.required, t.goal)
	}
}

// busyKey compares sales with one key for all connections, whose requests share calls to Redis,
// with sales with a key for each connection.
func busyKey(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	connections := b.Mode.maxConnections()
	many := b.saleSide("a key for each connection", e, connections)
	one := b.saleSide("one busy key", e, connections)
	one.spec().Request = b.saleRequest(benchKey)
	if err := b.alternate(ctx, b.Mode.rounds, many, one); err != nil {
		return err
	}
	suffix := fmt.Sprintf(" per sale with one busy key at %d connections", connections)
	b.Report.AddTarget("Redis calls"+suffix, one.figure(redisCalls), report.Fraction, atMost(0.25), none)
	for _, t := range []struct {
		name     string
		quantity func(sample) float64
		required report.Bound
	}{
		{"Redis CPU", cpuOf("Redis"), atMost(0.4)},
		{"edge CPU", cpuOf("edge"), atMost(1)},
	} {
		b.Report.AddTarget(t.name+suffix+", against a key for each connection",
			ratio(one, many, t.quantity), report.Times, t.required, none)
	}
	b.addTable("One busy key", "Concurrent requests with the same key share a call to Redis.", many, one)
	return nil
}

// kinds are other sales than those of the suite sale.
var kinds = []struct {
	name, script string
	change       func(*load.Request)
}{
	{"with Idempotency-Key", "keyed", func(r *load.Request) { r.Header["Idempotency-Key"] = "order_{seq}" }},
	{"changed customers", "changed", replaceInBody("John Doe", "John Doe {seq}")},
	{"new customers", "new",
		replaceInBody("customer_{pick}", "new_{seq}", `"amount"`, `"clickId":"click_{pick}","amount"`)},
	{"one hot customer", "hot", replaceInBody("{pick}", "00000000")},
}

func replaceInBody(oldnew ...string) func(*load.Request) {
	return func(r *load.Request) { r.Body = strings.NewReplacer(oldnew...).Replace(r.Body) }
}

// kindsOfSales compares the edge with pgbench for each of kinds.
func kindsOfSales(ctx context.Context, b *Bench) error {
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	var all []*side
	for _, k := range kinds {
		s := b.saleSide("edge, "+k.name, e, b.Mode.maxConnections())
		k.change(&s.spec().Request)
		all = append(all, s, b.pgbenchSide("pgbench, "+k.name, k.script, b.Mode.clients[len(b.Mode.clients)-1]))
	}
	if err := b.alternate(ctx, b.Mode.fewerRounds, all...); err != nil {
		return err
	}
	b.addTable("Other sales", "", all...)
	return nil
}
