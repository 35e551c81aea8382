package contract

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// The access log of the shipped Caddyfile has the same fields with each version of HTTP.
func TestAccessLog_EachProtocol(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		sold := s.Sell(t, c, harness.ValidSale)
		wantLine(t, s.Edge, sold, map[string]any{
			"status": 201., "uuid": sold.Header.Get("X-Request-Id"), "user_id": harness.KeyID(harness.FullKey),
			"key_id": harness.KeyID(harness.FullKey), "workspace_id": "ws_1", "decision": "admitted",
			"sale_id": sold.Header.Get("Hoko-Sale-Id"), "attribution": sold.Header.Get("Hoko-Attribution"),
			"limit_source": "redis",
		}, "auth_duration", "limit_duration", "queue_duration", "commit_duration", "limit_remaining")
		wantLine(t, s.Edge, s.SellAs(t, c, "Bearer "+harness.ReadOnlyKey), map[string]any{
			"status": 403., "user_id": harness.KeyID(harness.ReadOnlyKey), "key_id": harness.KeyID(harness.ReadOnlyKey),
			"workspace_id": "ws_1", "decision": "rejected", "cause": "missing_scopes",
		}, "uuid", "auth_duration")
		wantLine(t, s.Edge, s.SellAs(t, c, "Bearer unknown"), map[string]any{
			"status": 401., "user_id": "", "decision": "rejected", "cause": "unknown",
		}, "uuid", "auth_duration")
	})
}

// caddysFields are the fields of every line of the access log, besides status and user_id.
var caddysFields = []string{"level", "ts", "logger", "msg", "request", "bytes_read", "duration", "size", "resp_headers"}

// wantLine compares the answer's line in the access log. others are fields of any value.
func wantLine(t *testing.T, e *harness.Edge, got harness.Answer, want map[string]any, others ...string) {
	t.Helper()
	id := got.Header.Get("X-Request-Id")
	e.Log.Wait(t, `"handled request"`, id)
	for text := range strings.Lines(e.Log.String()) {
		if !strings.Contains(text, id) {
			continue
		}
		var line map[string]any
		testenv.NoError(t, json.Unmarshal([]byte(text), &line))
		for name, value := range line {
			if wanted, listed := want[name]; listed && value != wanted {
				t.Errorf("%s is %v, not %v", name, value, wanted)
			} else if !listed && !slices.Contains(others, name) && !slices.Contains(caddysFields, name) {
				t.Errorf("unexpected %s: %v", name, value)
			}
			if strings.Count(text, `,"`+name+`":`) > 1 && name != "level" {
				t.Errorf("%s is not there once: %s", name, text)
			}
		}
		for name := range want {
			others = append(others, name)
		}
		for _, name := range others {
			if line[name] == nil {
				t.Errorf("no %s: %s", name, text)
			}
		}
	}
}

// Without an access log, the edge itself records the status for the metrics.
func TestAccessLog_NotNeeded(t *testing.T) {
	conflict := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusConflict)
		w.Write(body)
	}
	site := harness.StartSite(t, map[string]http.HandlerFunc{"/api/links": conflict})
	edit := strings.NewReplacer("\tlog\n", "", "\treverse_proxy", "\tapi_key_auth /api/links\n\t\treverse_proxy")
	s := harness.StartStackWithSite(t, site, edit.Replace)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		const conflicts = `hoko_http_responses_total{class="4xx",part="site"}`
		before := s.Metric(t, conflicts)
		if got := s.Sell(t, c, harness.ValidSale); got.StatusCode != 201 {
			t.Errorf("a sale: %d %s", got.StatusCode, got.Text)
		}
		body := strings.Repeat("ü", 500_000)
		got := s.Call(t, c, "POST", "/api/links", body, "Authorization", "Bearer "+harness.FullKey)
		if got.StatusCode != 409 || got.Text != body {
			t.Errorf("an API call: %d %.100s", got.StatusCode, got.Text)
		}
		if after := s.Metric(t, conflicts); after != before+1 {
			t.Errorf("%v conflicts became %v", before, after)
		}
	})
	if s.Log.HasLine(`"handled request"`) {
		t.Error("there is an access log")
	}
}
