package request

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// prepared returns a request as Caddy's handlers get it, with a writer that records.
func prepared(body io.Reader) (http.ResponseWriter, *http.Request) {
	w := caddyhttp.NewResponseRecorder(httptest.NewRecorder(), nil, nil)
	r := httptest.NewRequest("POST", "/api/track/sale", body)
	return w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
}

// fields returns what the record adds to the access log.
func fields(rec *Record) map[string]any {
	enc := zapcore.NewMapObjectEncoder()
	zap.Inline(rec).AddTo(enc)
	return enc.Fields
}

// sold does to the record what the handlers do for a sale.
func sold(w http.ResponseWriter, r *http.Request, key *apikey.Key, outcome sale.Outcome) *Record {
	rec, w := Begin(w, r)
	rec.Authenticated(r, apikey.FoundInCache, rec.since.Add(time.Millisecond))
	rec.SetKey(r, key)
	rec.SetLimit(ratelimit.Decision{
		Evaluated: true, Allowed: true, Source: ratelimit.FromRedis,
		State: ratelimit.State{Name: "default", Remaining: 599}},
		rec.since, rec.since.Add(2*time.Millisecond))
	SetID(w, r)
	rec.SetSale(outcome)
	rec.Answered(Sale, http.StatusCreated)
	rec.End(r, nil)
	return rec
}

var (
	aKey  = &apikey.Key{ID: "key_1", WorkspaceID: "ws_1"}
	aSale = sale.Outcome{
		Recorded: &sale.Recorded{Attribution: sale.Click, Replayed: true}, SaleID: "01900000",
		Timing: sale.Timing{Queue: 3 * time.Millisecond, Commit: 4 * time.Millisecond},
	}
)

func TestRecord_FieldsOfASale(t *testing.T) {
	w, r := prepared(nil)
	got := fields(sold(w, r, aKey, aSale))
	want := map[string]any{
		"key_id": "key_1", "workspace_id": "ws_1", "decision": "admitted",
		"limit_source": "redis", "limit_remaining": 599,
		"sale_id": "01900000", "attribution": "click", "replayed": true,
		"auth_duration": time.Millisecond, "limit_duration": 2 * time.Millisecond,
		"queue_duration": 3 * time.Millisecond, "commit_duration": 4 * time.Millisecond,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRecord_DocsListAllFields(t *testing.T) {
	w, r := prepared(nil)
	rec := sold(w, r, aKey, aSale)
	rec.SetCause("failed", "broken")
	rec.site = time.Second
	rec.limited.Allowed = false
	document, err := os.ReadFile("../../docs/operations.md")
	testkit.NoError(t, err)
	section := regexp.MustCompile(`(?s)### Fields of the access log\n(.*?)\n#`).FindSubmatch(document)
	if section == nil {
		t.Fatal("docs/operations.md has no fields of the access log")
	}
	documented := []string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllSubmatch(section[1], -1) {
		documented = append(documented, string(row[1]))
	}
	slices.Sort(documented)
	if logged := slices.Sorted(maps.Keys(fields(rec))); !slices.Equal(documented, logged) {
		t.Errorf("the document lists\n%v\nlogged are\n%v", documented, logged)
	}
}

func TestRecord_UntrackedRequestHasNoDecision(t *testing.T) {
	_, r := prepared(nil)
	Of(r).SetCause("bad_gateway", "")
	if got := fields(Of(r)); !maps.Equal(got, map[string]any{"cause": "bad_gateway"}) {
		t.Errorf("got %v", got)
	}
}

// A nested api_key_auth, and several limits, add their times.
func TestRecord_AddsTimesOfNestedHandlers(t *testing.T) {
	w, r := prepared(nil)
	rec, _ := Begin(w, r)
	rec.Authenticated(r, apikey.FoundInCache, rec.since.Add(time.Second))
	nested, again := Begin(w, r)
	if nested != rec || again != w {
		t.Error("another record or writer")
	}
	rec.Authenticated(r, apikey.FoundInCache, rec.since.Add(time.Second))
	for _, remaining := range []int{7, 8} {
		rec.SetLimit(ratelimit.Decision{
			Evaluated: true, Source: ratelimit.FromLocal,
			State: ratelimit.State{Name: "default", Remaining: remaining}},
			rec.since, rec.since.Add(time.Second))
	}
	rec.End(r, nil)
	if rec.part != "" {
		t.Error("the inner handler ended the request")
	}
	rec.Answered(Limit, http.StatusTooManyRequests)
	rec.End(r, nil)
	got := fields(rec)
	if got["auth_duration"] != 2*time.Second || got["limit_duration"] != 2*time.Second ||
		got["limit_remaining"] != 8 || got["decision"] != "rejected" {
		t.Errorf("got %v", got)
	}
}

func TestRecord_Allocations(t *testing.T) {
	w, r := prepared(nil)
	ctx := r.Context()
	vars := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	extra := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	id := testing.AllocsPerRun(100, func() {
		delete(vars, "uuid")
		*extra = caddyhttp.ExtraLogFields{}
		_, _ = replacer(r).GetString("http.request.uuid")
	})
	all := testing.AllocsPerRun(100, func() {
		delete(vars, "uuid")
		delete(vars, recordVar)
		*extra = caddyhttp.ExtraLogFields{}
		sold(w, r, aKey, aSale)
	})
	// The record; a longer slice of fields, and the cache of loggers that Caddy clears for it; the
	// user ID as a placeholder.
	if own := all - id; own > 4 {
		t.Errorf("%v allocations, %v of them for the request ID", all, id)
	}
}
