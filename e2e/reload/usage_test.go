package reload

import (
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// Three edges write the last uses of the same keys when they stop.
func TestLastUse_OfThreeEdges(t *testing.T) {
	f := harness.StartFleet(t, testenv.Redis(t))
	one, two := f.NewKey(harness.Unlimited), f.NewKey(harness.Unlimited)
	for edge := range f.Edges {
		for _, key := range []string{one, two, one} {
			harness.WantStatus(t, f.Sell(t, edge, key), 201)
		}
		harness.WantStatus(t, f.Sell(t, edge, harness.ReadOnlyKey), 403)
		harness.WantStatus(t, f.Sell(t, edge, "hoko_unknown"), 401)
	}
	for _, e := range f.Edges {
		e.Signal(syscall.SIGTERM)
	}
	for _, e := range f.Edges {
		if code := e.AwaitEnd(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	const used = `SELECT count(*) FROM hoko.key_usage JOIN hoko.api_keys ON id = key_id
		WHERE last_used_at = date_trunc('minute', last_used_at)
		AND last_used_at BETWEEN now() - interval '5 minutes' AND now()`
	if n, all := f.DB.Count(used), f.DB.Count("SELECT count(*) FROM hoko.key_usage"); n != 3 || all != 3 {
		t.Errorf("%d keys with the current minute, and %d in all; want 3", n, all)
	}
}
