package sale

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func Test400_NamesTheMemberInHeaderAndLog(t *testing.T) {
	f := newFixture(recording, 0)
	w := f.post(`{"customerExternalId":"customer_123","amount":-12345,"customerName":"John Doe"}`, nil)
	expect(t, w, 400, body400)
	const reason = "amount: must be a non-negative integer"
	if got := w.Header().Get("Hoko-Reason"); got != reason {
		t.Errorf("Hoko-Reason %q, want %q", got, reason)
	}
	for _, want := range []string{reason, "status=400", "workspace_id=ws_1", "key_id=key_1"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, f.log)
		}
	}
	if strings.Contains(f.log.String(), "12345") {
		t.Errorf("the log repeats what was sent: %s", f.log)
	}
	if n := len(f.sales()); n != 0 {
		t.Errorf("%d sales reached the store", n)
	}
	f.expectRefusal(t, "invalid")
}

func Test400_RefusesAMalformedIdempotencyKey(t *testing.T) {
	const shape, twice = "Idempotency-Key: must be 1 to 255 printable ASCII characters", "Idempotency-Key: must be sent once"
	for reason, keys := range map[string][][]string{
		shape: {{""}, {strings.Repeat("k", 256)}, {"a\tb"}, {"a\x7f"}, {"مفتاح"}, {"a\x80"}},
		twice: {{"a", "a"}, {"", ""}, {"a", "b", "c"}},
	} {
		for _, lines := range keys {
			f := newFixture(recording, 0)
			w := f.post(aBody, http.Header{"Idempotency-Key": lines})
			expect(t, w, 400, body400)
			if got := w.Header().Get("Hoko-Reason"); got != reason {
				t.Errorf("%q: Hoko-Reason %q, want %q", lines, got, reason)
			}
			if n := len(f.sales()); n != 0 {
				t.Errorf("%q: %d sales reached the store", lines, n)
			}
		}
	}
}

func Test400_SaysWhatFailedToAttribute(t *testing.T) {
	for members, want := range map[string]string{
		``:                                     "clickId: missing, and the customer has no lead, or its link is gone",
		`,"clickId":"","leadEventName":null`:   "clickId: missing, and the customer has no lead, or its link is gone",
		`,"clickId":"secret"`:                  "clickId: no such click, or its link is gone",
		`,"leadEventName":"secret"`:            "leadEventName: the customer has no such lead and no other, or its link is gone",
		`,"leadEventName":"x","clickId":"abc"`: "clickId: no such click and no lead of that leadEventName, or the link is gone",
	} {
		f := newFixture(func(context.Context, *Sale) (*Recorded, error) {
			return nil, fmt.Errorf("batch of 1: %w", ErrUnattributed)
		}, 0)
		w := f.post(strings.TrimSuffix(aBody, "}")+members+"}", nil)
		expect(t, w, 400, body400)
		if got := w.Header().Get("Hoko-Reason"); got != want {
			t.Errorf("%s: Hoko-Reason %q, want %q", members, got, want)
		}
		f.expectRefusal(t, "invalid")
	}
}

func Test400_AnswersACorruptBody(t *testing.T) {
	f := newFixture(recording, 0)
	c := serve(t, f)()
	c.send("Transfer-Encoding: chunked", "no chunk\r\n")
	res, body := c.receive()
	if res.StatusCode != 400 || body != body400 || res.Header.Get("Hoko-Reason") != "body: could not be read" || !res.Close {
		t.Errorf("%d (closes: %v) %q %s", res.StatusCode, res.Close, res.Header.Get("Hoko-Reason"), body)
	}
	f.expectRefusal(t, "aborted")
}
