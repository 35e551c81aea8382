package sale

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func Test201_AnswersTheRecordedSale(t *testing.T) {
	f := newFixture(recording, 0)
	w := f.post(aBody, nil)
	expect(t, w, 201, string(AppendResponse(nil, publishedSale())))

	sales := f.sales()
	if len(sales) != 1 {
		t.Fatalf("%d sales", len(sales))
	}
	s := sales[0]
	if s.WorkspaceID != "ws_1" || s.IdempotencyKey != "" || s.Request.CustomerExternalID != "customer_123" || s.Request.Amount != 12900 {
		t.Errorf("the store got %+v of %+v", s.Request, s)
	}
	for name, want := range map[string]string{
		"Content-Length":       strconv.Itoa(w.Body.Len()),
		"Hoko-Sale-Id":         s.ID.String(),
		"Hoko-Attribution":     "latest-lead",
		"Idempotency-Replayed": "",
		"Hoko-Reason":          "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
}

func Test201_NamesTheAttribution(t *testing.T) {
	for _, attribution := range []Attribution{LeadEvent, Click, LatestLead} {
		w := newFixture(func(context.Context, *Sale) (*Recorded, error) {
			recorded := publishedSale()
			recorded.Attribution = attribution
			return recorded, nil
		}, 0).post(aBody, nil)
		if got := w.Header().Get("Hoko-Attribution"); got != string(attribution) {
			t.Errorf("Hoko-Attribution %q, want %q", got, attribution)
		}
	}
}

func Test201_SaysThatItIsAReplay(t *testing.T) {
	first := publishedSale()
	first.Replayed = true
	f := newFixture(func(context.Context, *Sale) (*Recorded, error) { return first, nil }, 0)
	w := f.post(aBody, http.Header{"Idempotency-Key": {"once"}})
	expect(t, w, 201, string(AppendResponse(nil, first)))
	if got := w.Header().Get("Idempotency-Replayed"); got != "true" {
		t.Errorf("Idempotency-Replayed %q", got)
	}
	if got := w.Header().Get("Hoko-Sale-Id"); got != first.SaleID.String() {
		t.Errorf("Hoko-Sale-Id %q, want the first sale's", got)
	}
}

func Test201_TakesEveryIdempotencyKeyAsItIs(t *testing.T) {
	for _, key := range []string{"a", `"8e03978e-40d5-43e8-bc93-6894a57f9324"`, "a, b", "a b", "~!", strings.Repeat("k", 255)} {
		f := newFixture(recording, 0)
		if w := f.post(aBody, http.Header{"Idempotency-Key": {key}}); w.Code != 201 {
			t.Errorf("%q: %d", key, w.Code)
			continue
		}
		if got := f.sales()[0].IdempotencyKey; got != key {
			t.Errorf("the store got %q, want %q", got, key)
		}
	}
}

func Test201_TakesIdentityInAnySpelling(t *testing.T) {
	for _, lines := range [][]string{nil, {""}, {"identity"}, {"IDENTITY"}, {" identity , Identity,"}, {"identity", "identity"}} {
		if w := newFixture(recording, 0).post(aBody, http.Header{"Content-Encoding": lines}); w.Code != 201 {
			t.Errorf("Content-Encoding %q: %d", lines, w.Code)
		}
	}
}

func Test201_TakesABodyOf65536Bytes(t *testing.T) {
	body := aBody + strings.Repeat(" ", maxBody-len(aBody))
	c := serve(t, newFixture(recording, 0))()
	for head, sent := range map[string]string{
		"Content-Length: 65536":      body,
		"Transfer-Encoding: chunked": "10000\r\n" + body + "\r\n0\r\n\r\n",
	} {
		c.send(head, sent)
		if res, answer := c.receive(); res.StatusCode != 201 {
			t.Errorf("%s: %d %s", head, res.StatusCode, answer)
		}
	}
}

func Test201_SendsThe100ThatAClientExpects(t *testing.T) {
	c := serve(t, newFixture(recording, 0))()
	c.send("Content-Length: 78\r\nExpect: 100-continue", "")
	if res, _ := c.receive(); res.StatusCode != 100 {
		t.Fatalf("%d, want 100", res.StatusCode)
	}
	c.conn.Write([]byte(aBody))
	if res, body := c.receive(); res.StatusCode != 201 || res.Close {
		t.Errorf("%d (closes: %v) %s", res.StatusCode, res.Close, body)
	}
}
