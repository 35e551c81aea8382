package suite

import (
	"context"
	"errors"
	"net/http"

	"hoko.to/edge/bench/load"
	"hoko.to/edge/bench/stage"
)

// rejected are requests that the edge rejects without asking Postgres: their key is missing, known
// not to exist, or over a limit that the edge remembers.
var rejected = []struct {
	name, key string
	status    int
}{
	{"401 without a key", "", 401},
	{"401 for an unknown key", "hoko_bench_unknown", 401},
	{"429 for a remembered denial", deniedKey, 429},
}

// deniedKey has a limit of one request per day.
const deniedKey = "hoko_bench_denied"

const seedDenied = `INSERT INTO hoko.api_keys (id, workspace_id, key_hash, scopes, rate_limit, rate_period)
VALUES ('key_denied', 'bench', sha256('` + deniedKey + `'), '{conversionsWrite}', 1, '1 day')`

// emptySale returns a sale without a body.
func emptySale(key string) load.Request { return emptyRequest("POST", "/api/track/sale", key) }

// rejections compares the CPU of rejected requests with that of stock `respond`.
func rejections(ctx context.Context, b *Bench) error {
	if err := b.Stage.Database.Exec(ctx, seedDenied); err != nil {
		return err
	}
	e, err := b.startEdge(ctx)
	if err != nil {
		return err
	}
	if err := exhaust(ctx, e); err != nil {
		return err
	}
	var pairs []pair
	for _, r := range rejected {
		response, err := stage.Send(ctx, stage.NewClient(0), e.URL, emptySale(r.key), r.status)
		if err != nil {
			return err
		}
		stock, err := b.Stage.StartEdge(ctx, stage.StockRespond(response), stage.Env{})
		if err != nil {
			return err
		}
		pairs = append(pairs, b.pairs(r.name, emptySale(r.key), r.status,
			e, e.Processes(b.Stage.Databases()...), stock, stock.Processes())...)
	}
	return b.measurePairs(ctx, pairs, "Rejected requests", "Stock is the same binary with only `log`, `header` and "+
		"`respond`. It sends the same status, body and number of headers.", "respond", atMost(1.2), atMost(1))
}

// exhaust uses up the limit of deniedKey. It takes more than one request if Redis is late and the
// edge counts locally.
func exhaust(ctx context.Context, e *stage.Edge) error {
	client := stage.NewClient(1)
	defer client.CloseIdleConnections()
	for range 100 {
		r, err := stage.Send(ctx, client, e.URL, emptySale(deniedKey))
		if err != nil || r.Status == http.StatusTooManyRequests {
			return err
		}
	}
	return errors.New("100 requests have not exhausted a limit of one per day")
}
