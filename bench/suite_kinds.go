package main

import (
	"context"

	"hoko.to/edge/bench/load"
)

// kinds of sales that are not the usual one.
var kinds = []struct {
	name, script string
	request      func(load.Request) load.Request
}{
	{"with Idempotency-Key", "keyed", func(r load.Request) load.Request { return with(r, "Idempotency-Key", "order_{seq}") }},
	{"changed customers", "changed", func(r load.Request) load.Request { return saying(r, "John Doe", "John Doe {seq}") }},
	{"new customers", "new", func(r load.Request) load.Request {
		return saying(saying(r, "customer_{pick}", "new_{seq}"), `"amount"`, `"clickId":"click_{pick}","amount"`)
	}},
	{"one hot customer", "hot", func(r load.Request) load.Request { return saying(r, "{pick}", "00000000") }},
}

// kindsOfSales reports the same work on other customers.
func kindsOfSales(ctx context.Context, b *bench) error {
	e, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	most := b.mode.connections[len(b.mode.connections)-1]
	clients := b.mode.clients[len(b.mode.clients)-1]
	var all []*side
	for _, k := range kinds {
		s := b.saleSide("edge, "+k.name, e, most)
		s.spec().Request = k.request(b.saleRequest())
		p, err := b.pgbenchSide("pgbench, "+k.name, k.script, clients)
		if err != nil {
			return err
		}
		all = append(all, s, p)
	}
	if err := b.alternate(ctx, b.mode.reported, all...); err != nil {
		return err
	}
	b.tabulate("Other sales", "", all...)
	return nil
}
