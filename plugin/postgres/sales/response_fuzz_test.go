package sales

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/plugin/sale"
)

// Whatever is stored with an idempotency key, readResponse returns an error or an answer.
func FuzzSavedResponse(f *testing.F) {
	f.Add([]byte(`{"attribution":"latest-lead","clickId":null,"link":{"id":"l","url":"https://example.com",` +
		`"shortUrl":"https://hoko.to/a","utm":{"source":"a"},"createdAt":"2024-01-01T00:00:00+00:00"},` +
		`"customer":{"id":"c","name":"John Doe","externalId":"c"},"sale":{"amount":12900,"currency":"usd",` +
		`"eventName":"Purchase","metadata":"{\"a\":1}"}}`))
	f.Add([]byte(`{"link":{"createdAt":"infinity"}}`))
	f.Add([]byte(`{"link":{"createdAt":"0044-03-15T12:00:00+00:19:32 BC","utm":[]},"sale":{"amount":1e3}}`))
	f.Add([]byte(`{"link":{"createdAt":"12024-01-01T00:00:00"},"customer":null,"clickId":"\ud800"}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"link":{"createdAt":""},"link":{"createdAt":"2024-02-30T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		recorded, err := readResponse(text)
		if err != nil {
			if recorded != nil || !strings.HasPrefix(err.Error(), "read saved response: ") {
				t.Errorf("%q gives %+v, %v", text, recorded, err)
			}
			return
		}
		if year := recorded.Link.CreatedAt.Year(); year < 1 || year > 9999 {
			t.Errorf("%q is of the year %d", text, year)
		}
		if !json.Valid(recorded.Metadata) {
			recorded.Metadata = nil // Postgres stores text, and only valid JSON comes from Decode
		}
		body := sale.AppendResponse(nil, recorded)
		if !json.Valid(body) {
			t.Errorf("%q makes %s", text, body)
		}
		again, err := readResponse(text)
		if err != nil || string(body) != string(sale.AppendResponse(nil, withMetadata(again, recorded.Metadata))) {
			t.Errorf("%q makes another answer the second time: %v", text, err)
		}
	})
}

func withMetadata(r *sale.Recorded, metadata []byte) *sale.Recorded {
	r.Metadata = metadata
	return r
}

// RFC 3339 can express every time that Postgres can write.
func FuzzSavedTime(f *testing.F) {
	for _, text := range []string{"2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00.123456+05:30",
		"1883-11-18T12:03:58-07:52:58", "2024-01-01T00:00:00", "infinity", "-infinity", "0044-03-15T00:00:00 BC",
		"99999-01-01T00:00:00Z", "", "-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := savedTime(text)
		if err != nil {
			return
		}
		written := got.Format(time.RFC3339Nano)
		again, err := time.Parse(time.RFC3339Nano, written)
		if err != nil || !again.Equal(got) || got.Location() != time.UTC {
			t.Errorf("%q is %s: %v", text, written, err)
		}
	})
}
