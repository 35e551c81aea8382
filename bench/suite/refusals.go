package suite

import (
	"context"
	"errors"
	"net/http"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/stage"
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

// bare returns a sale without a body, as the published examples of refusals are.
func bare(key string) load.Request { return keyed("POST", "/api/track/sale", key) }

// refusals compares them with stock Caddy answering the same.
func refusals(ctx context.Context, b *Bench) error {
	if err := b.Stage.Database.Exec(ctx, seedDenied); err != nil {
		return err
	}
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	if err := spend(ctx, e); err != nil {
		return err
	}
	var pairs []pair
	for _, r := range refused {
		said, err := stage.Ask(ctx, stage.NewClient(0), e.URL, bare(r.key), r.status)
		if err != nil {
			return err
		}
		respond, err := b.Stage.StartEdge(ctx, stage.StockRespond(said), stage.Backing{})
		if err != nil {
			return err
		}
		pairs = append(pairs, b.pairs(r.name, bare(r.key), r.status,
			e, e.Processes(b.Stage.Backends()...), respond, respond.Processes())...)
	}
	return b.judgePairs(ctx, pairs, "Refusals", "Stock is the same binary whose route only has `header` and `respond`, "+
		"with the same status, body and number of headers.", "respond", atMost(1.2), atMost(1))
}

// spend makes the one call that the key may. It takes more of them while Redis
// is late and the edge limits by itself.
func spend(ctx context.Context, e *stage.Edge) error {
	client := stage.NewClient(1)
	defer client.CloseIdleConnections()
	for range 100 {
		a, err := stage.Ask(ctx, client, e.URL, bare(deniedKey))
		if err != nil || a.Status == http.StatusTooManyRequests {
			return err
		}
	}
	return errors.New("the limit of one call a day is never reached")
}
