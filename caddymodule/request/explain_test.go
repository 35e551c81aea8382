package request

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"

	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/internal/testkit"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/sale"
)

// explained returns the explanation of a request and its JSON, or nil if it is not remembered.
func explained(t *testing.T, rec *Record) (event *explain.Event, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	query := url.Values{"request": {rec.id[0]}}.Encode()
	if err := explain.Serve(w, httptest.NewRequest("GET", "/hoko/explain?"+query, nil)); err != nil {
		return nil, ""
	}
	var document explain.Document
	testkit.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
	return document.Request, w.Body.String()
}

// Handlers that are done with a request that began some time ago.
func TestRemember_RejectedFailedAndSlow(t *testing.T) {
	site := func(status int) func(http.ResponseWriter, *http.Request, *Record) {
		return func(w http.ResponseWriter, r *http.Request, rec *Record) {
			rec.SetKey(r, aKey)
			w.WriteHeader(status)
		}
	}
	answered := func(part Part, status int) func(http.ResponseWriter, *http.Request, *Record) {
		return func(_ http.ResponseWriter, r *http.Request, rec *Record) {
			rec.SetKey(r, aKey)
			rec.Answered(part, status)
		}
	}
	gone := func(_ http.ResponseWriter, _ *http.Request, rec *Record) {
		rec.Answered(Auth, StatusClientGone)
		rec.SetCause(CauseOf(StatusClientGone), "")
	}
	for _, tc := range []struct {
		what  string
		took  time.Duration
		serve func(http.ResponseWriter, *http.Request, *Record)
		err   error
		want  string // in Why, "" if it is not remembered
	}{
		{"a page", 0, site(200), nil, ""},
		{"a slow page", time.Second, site(200), nil, "Most of it, 1 s, was before or between the parts"},
		{"the site's 404", 0, site(404), nil, ""},
		{"the site's 502", 0, site(502), nil, ""},
		{"a WebSocket", time.Hour, site(101), nil, ""},
		{"a failure", 0, func(http.ResponseWriter, *http.Request, *Record) {}, caddyhttp.Error(502, errors.New("down")),
			"The site could not be reached"},
		{"a failure after the header", 0, site(404), errors.New("the body ended"), ""},
		{"a sale", 0, answered(Sale, 201), nil, ""},
		{"a slow sale", 2 * time.Second, answered(Sale, 201), nil, "The request was answered, but took 2 s"},
		{"a 429", 0, answered(Limit, 429), nil, "The edge answered too many requests"},
		{"the client has left", 0, gone, caddyhttp.Error(499, errors.New("canceled")), ""},
		{"the client has waited", 2 * time.Second, gone, caddyhttp.Error(499, errors.New("canceled")),
			"The client disconnected after 2 s"},
	} {
		w, r := prepared(nil)
		replacer(r).Set("http.request.uuid", uuid.NewString())
		rec, w := Begin(w, r)
		rec.began = rec.began.Add(-tc.took)
		rec.Authenticated(r, apikey.FoundInCache, time.Now())
		tc.serve(w, r, rec)
		rec.End(r, tc.err)
		event, text := explained(t, rec)
		why := ""
		if event != nil {
			why, _ = event.Why()
		}
		if (event == nil) != (tc.want == "") || !strings.Contains(why, tc.want) {
			t.Errorf("%s: %s %s", tc.what, why, text)
		}
	}
}

func TestRemember_NoTextOfErrors(t *testing.T) {
	w, r := prepared(nil)
	replacer(r).Set("http.request.uuid", uuid.NewString())
	rec, _ := Begin(w, r)
	rec.Answered(Sale, 500)
	rec.SetCause("failed", "value jane@example.com violates a constraint")
	rec.SetSale(sale.Outcome{SaleID: "01900000"})
	rec.End(r, nil)
	_, text := explained(t, rec)
	if strings.Contains(text, "jane") || !strings.Contains(text, `"cause":"failed"`) ||
		!strings.Contains(text, "01900000") {
		t.Errorf("got %s", text)
	}
}

// BenchmarkRemember measures what End costs for a sale and for a 429, which is remembered.
func BenchmarkRemember(b *testing.B) {
	for _, status := range []int{http.StatusCreated, http.StatusTooManyRequests} {
		b.Run(http.StatusText(status), func(b *testing.B) {
			w, r := prepared(nil)
			rec, _ := Begin(w, r)
			rec.SetKey(r, aKey)
			rec.requestID(r)
			rec.Answered(Limit, status)
			rec.SetCause("rate_limit", "")
			b.ReportAllocs()
			for b.Loop() {
				rec.depth, rec.counted, rec.remembered = 1, false, false
				rec.End(r, nil)
			}
		})
	}
}
