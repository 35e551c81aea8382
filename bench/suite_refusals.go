package main

import (
	"context"
	"errors"
	"net/http"

	"hoko.to/edge/bench/load"
)

// refused are requests that the edge answers without Postgres: a 401 without
// and with a key, and a 429 that it remembers.
var refused = []struct {
	name, key string
	status    int
}{
	{"401 without a key", "", 401},
	{"401 of an unknown key", "hoko_bench_unknown", 401},
	{"remembered 429", deniedKey, 429},
}

// deniedKey may call once a day.
const deniedKey = "hoko_bench_denied"

const seedDenied = `INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period)
VALUES ('key_denied', 'bench', sha256('` + deniedKey + `'), '{conversionsWrite}', 1, '1 day')`

// refusals compares them with stock Caddy answering the same. Like the published
// examples, the requests have no body.
func refusals(ctx context.Context, b *bench) error {
	if err := b.stage.database.exec(ctx, seedDenied); err != nil {
		return err
	}
	e, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(nil))
	if err != nil {
		return err
	}
	if err := spend(ctx, e); err != nil {
		return err
	}
	var pairs []pair
	for _, r := range refused {
		request := refusedRequest(r.key)
		said, err := askFor(ctx, r.status, e.url, request)
		if err != nil {
			return err
		}
		respond, err := b.stage.startEdge(ctx, stockRespond(said), backing{})
		if err != nil {
			return err
		}
		pairs = append(pairs, b.pairs(r.name, request, r.status, e, e.processes(b.stage.backends()...), respond, respond.processes())...)
	}
	return b.judgePairs(ctx, pairs, "Refusals", "Stock is the same binary whose route only has `header` and `respond`, with the same status, body and number of headers.",
		"respond", atMost(1.2), atMost(1))
}

// spend makes the one call that the key may. It takes more of them while Redis
// is late and the edge limits by itself.
func spend(ctx context.Context, e *edge) error {
	for range 100 {
		a, err := ask(ctx, e.url, refusedRequest(deniedKey))
		if err != nil || a.status == http.StatusTooManyRequests {
			return err
		}
	}
	return errors.New("the limit of one call a day is never reached")
}

func refusedRequest(key string) load.Request {
	r := load.Request{Method: "POST", Path: "/api/track/sale"}
	if key != "" {
		r.Header = map[string]string{"Authorization": "Bearer " + key}
	}
	return r
}
