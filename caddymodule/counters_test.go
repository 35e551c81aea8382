package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/plugin/apikey"
)

func TestCounters_BackendsAddUp(t *testing.T) {
	e := startEdge(t, strings.Replace(saleRoutes, "3/1h", "30/1h", 1))
	key := e.key("conversionsWrite").Key
	sell := func() {
		t.Helper()
		if got := e.send("POST", "/api/track/sale", bearer(key), ""); got.status != 400 {
			t.Fatalf("status %d", got.status)
		}
	}
	before := metric(t, "hoko_auth_total")
	sell()
	old := onlyBackend(t)
	e.hoko = "guesses 50/1m"
	e.mustLoad()
	if now := metric(t, "hoko_auth_total"); now != before+1 {
		t.Errorf("with other settings, the counter went from %v to %v", before+1, now)
	}
	sell()
	// As a request that was in flight during the reload does.
	h := http.Header{"Authorization": {key}}
	if _, _, err := old.Keys.Authenticate(t.Context(), h, "", apikey.Required{}); err != nil {
		t.Fatal(err)
	}
	if now := metric(t, "hoko_auth_total"); now != before+3 {
		t.Errorf("two backends: the counter went from %v to %v, want %v", before, now, before+3)
	}
	want := func(backends float64) {
		t.Helper()
		if n := metric(t, "hoko_backends"); n != backends {
			t.Errorf("%v backends, want %v", n, backends)
		}
		eventually(t, "each backend has cached the key",
			func() bool { return metric(t, "hoko_key_cache_entries") == backends })
	}
	want(2)
	backend.DropExpiring()
	want(1)
	if now := metric(t, "hoko_auth_total"); now != before+3 {
		t.Errorf("the old backend closed: the counter went from %v to %v", before+3, now)
	}
}

func TestPoolCounters_SurviveTheirBackend(t *testing.T) {
	e := startEdge(t, strings.Replace(saleRoutes, "3/1h", "30/1h", 1))
	key := bearer(e.key("conversionsWrite").Key)
	e.send("POST", "/api/track/sale", key, "")
	before, guesses := metric(t, "hoko_postgres_pool_waits_total"), 50
	closeBackends := func(n int) {
		for range n {
			guesses++
			e.hoko = fmt.Sprintf("guesses %d/1m", guesses)
			e.mustLoad()
			backend.DropExpiring()
			e.send("POST", "/api/track/sale", key, "") // waits until its pool has a connection
		}
	}
	closeBackends(3)
	now := metric(t, "hoko_postgres_pool_waits_total") // not read before, so closing has counted
	if now < before+3 {
		t.Errorf("the counter went from %v to %v while 3 backends closed", before, now)
	}
	stop, read := make(chan struct{}), make(chan error, 1)
	go func() { read <- readPoolWaits(stop, now) }() // ends with stop
	closeBackends(3)
	close(stop)
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// readPoolWaits reads the counter until stop is closed. It returns an error if the counter is ever
// lower than before.
func readPoolWaits(stop chan struct{}, last float64) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		families, err := backend.Metrics.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if family.GetName() != "hoko_postgres_pool_waits_total" {
				continue
			}
			now := family.GetMetric()[0].GetCounter().GetValue()
			if now < last {
				return fmt.Errorf("the counter went from %v to %v", last, now)
			}
			last = now
		}
	}
}
