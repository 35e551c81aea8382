package apikey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics_CountEveryOutcome(t *testing.T) {
	registry := prometheus.NewRegistry()
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.set("revoked", Key{Revoked: true})
		b.store.set("expired", Key{ExpiresAt: time.Unix(1, 0)})
		b.store.set("disabled", Key{WorkspaceDisabled: true})
		b.store.set("hosts", Key{AllowedHostnames: []string{"a.com"}})
		for _, header := range []http.Header{
			{}, {"Authorization": {"a\x00"}}, {"Authorization": {"hosts"}, "Origin": {"null"}},
		} {
			b.send(header)
		}
		for _, token := range []string{
			testToken, testToken, "revoked", "expired", "disabled", "unknown", "unknown", "spent",
		} {
			b.call(token)
		}
		required, err := ParseRequired([]string{"linksRead"})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = b.Authenticate(context.Background(), bearer(testToken), testClient, required)
		missing, ok := errors.AsType[*MissingScopes](err)
		if !ok || missing.Key == nil || !slices.Equal(missing.Scopes, required.names) {
			t.Errorf("got %v, want MissingScopes", err)
		}
		b.CountEarlyData()
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		b.Authenticate(canceled, bearer("canceled"), "192.0.2.3", Required{})
		synctest.Wait() // until its lookup ends
		b.store.fail(errStoreDown)
		b.callFrom("uncached", "192.0.2.2")
		b.ListenerDown()
		b.ListenerUp()
		b.call(testToken) // served stale, and looked up in the background
		synctest.Wait()
		want := map[string]float64{
			`hoko_auth_total{ok}`:                 3,
			`hoko_auth_total{missing_scopes}`:     1,
			`hoko_auth_total{early_data}`:         1,
			`hoko_auth_total{client_gone}`:        1,
			`hoko_auth_total{missing}`:            1,
			`hoko_auth_total{malformed}`:          1,
			`hoko_auth_total{unknown}`:            2,
			`hoko_auth_total{revoked}`:            1,
			`hoko_auth_total{expired}`:            1,
			`hoko_auth_total{workspace_disabled}`: 1,
			`hoko_auth_total{host_not_allowed}`:   1,
			`hoko_auth_total{guesses_spent}`:      1,
			`hoko_auth_total{unavailable}`:        1,
			`hoko_key_lookups_total{found}`:       5,
			`hoko_key_lookups_total{not_found}`:   2,
			`hoko_key_lookups_total{error}`:       2,
			`hoko_key_stale_total`:                1,
			`hoko_key_unannounced_changes_total`:  0,
			`hoko_key_cache_total{key}{hit}`:      2,
			`hoko_key_cache_total{key}{miss}`:     11,
			`hoko_key_cache_total{unknown}{hit}`:  1,
			`hoko_key_cache_total{unknown}{miss}`: 10,
		}
		if got := gather(t, registry); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		encoded, err := json.Marshal(b.Stats())
		if err != nil {
			t.Fatal(err)
		}
		const stats = `{"keys":5,"size":1000,"unknown":2,"clients":3,"listening":true,"outage":true}`
		if string(encoded) != stats {
			t.Errorf("got %s, want %s", encoded, stats)
		}
	}, func(o *Options) { o.Metrics = registry; o.Guesses = limitOf(1, time.Hour) })
}

// gather returns the value of each metric by its name and label value.
func gather(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += "{" + label.GetValue() + "}"
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return got
}

func TestMetrics_Shared(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		a, err := New(&fakeStore{}, Options{Metrics: registry})
		if err != nil {
			t.Fatal(err)
		}
		a.CountEarlyData()
		a.Close()
	}
	if got := gather(t, registry)["hoko_auth_total{early_data}"]; got != 2 {
		t.Errorf("two authenticators have counted %v, want 2", got)
	}
}

func TestOutage_LoggedOncePerMinuteWithoutKey(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, func(t *testing.T, b *fixture) {
		b.store.fail(errStoreDown)
		for range 120 {
			b.wantUnavailable(testToken)
			b.store.fail(nil)
			b.wantCause("unknown", CauseUnknown)
			b.store.fail(errStoreDown)
			time.Sleep(time.Second)
		}
	}, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Guesses = limitOf(1000, time.Second)
	})
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("%d log lines, want 2", lines)
	}
	if !strings.Contains(log.String(), errStoreDown.Error()) {
		t.Error("the log does not contain the error")
	}
	if strings.Contains(log.String(), testToken) || strings.Contains(log.String(), HashOf(testToken).String()) {
		t.Error("the log contains a key or its hash")
	}
}
