package sale

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
)

//go:embed testdata/published-201.json
var published201 []byte

// publishedSale is the sale of the published example.
func publishedSale() *Recorded {
	return &Recorded{
		SaleID:      uuid.MustParse("018cc251-f400-7000-8000-000000000001"),
		Attribution: LatestLead,
		ClickID:     new("click_abc123"),
		Link: Link{
			ID: "link_xyz", URL: "https://example.com", ShortURL: "https://hoko.to/abc123",
			CollectionID: new("550e8400-e29b-41d4-a716-446655440000"), PartnerID: new("partner_123"),
			TenantID: new("tenant_456"), ExternalID: new("ext_789"),
			CreatedAt: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		Customer: Customer{ID: "customer_123", Name: "John Doe", Email: new("john@example.com"), ExternalID: "customer_123"},
		Amount:   12900, Currency: "usd", EventName: "Invoice paid",
		Metadata: []byte(`{"invoiceId":"inv_123"}`),
	}
}

func TestAppendResponse_IsThePublishedExample(t *testing.T) {
	var want bytes.Buffer
	if err := json.Compact(&want, published201); err != nil {
		t.Fatal(err)
	}
	if got := AppendResponse([]byte("kept"), publishedSale()); string(got) != "kept"+want.String() {
		t.Errorf("\n got %s\nwant kept%s", got, want.Bytes())
	}
}

// The frozen bytes of everything that the example leaves out: a difference here
// breaks the replays of sales that are already recorded.
func TestAppendResponse_IsFrozen(t *testing.T) {
	full := publishedSale()
	full.ClickID = new(`c"1`)
	full.Link.Title = new("عرض <b>&amp;</b> \u2028\u2029 🛒 \x7f")
	full.Link.Description = new("\b\t\n\f\r\x00\x1f\\\"/")
	full.Link.Image = new("https://example.com/a.png?x=1&y=2")
	full.Link.UTM = json.RawMessage(`{"referral": "r", "source": "نشرة", "medium": "", "content": 1, "term": "<t>", "other": "x"}`)
	full.Link.CreatedAt = time.Date(2024, 2, 29, 2, 4, 5, 120_300_000, time.FixedZone("+03", 3*60*60))
	full.Customer = Customer{ID: "7", Name: "", Phone: new("+966"), Avatar: new("https://a.example/م"), ExternalID: "زبون"}
	full.Amount = 9007199254740991
	full.EventName = ""
	full.Metadata = []byte(`{"b":1.0,"a":"\u0041<&>","n":{"x":[1e2,null]}}`)
	const wantFull = `{"click":{"id":"c\"1"},"link":{"id":"link_xyz","url":"https://example.com","shortUrl":"https://hoko.to/abc123",` +
		`"qrCode":"https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",` +
		`"title":"عرض <b>&amp;</b> ` + "\u2028\u2029" + ` 🛒 ` + "\x7f" + `","description":"\b\t\n\f\r\u0000\u001f\\\"/","image":"https://example.com/a.png?x=1&y=2",` +
		`"utm":{"source":"نشرة","term":"<t>","referral":"r"},` +
		`"collectionId":"550e8400-e29b-41d4-a716-446655440000","partnerId":"partner_123","tenantId":"tenant_456","externalId":"ext_789","createdAt":"2024-02-28T23:04:05.1203Z"},` +
		`"customer":{"id":"7","name":"","email":null,"phone":"+966","avatar":"https://a.example/م","externalId":"زبون"},` +
		`"sale":{"amount":9007199254740991,"currency":"usd","eventName":"","metadata":{"b":1.0,"a":"\u0041<&>","n":{"x":[1e2,null]}}}}`

	empty := &Recorded{Currency: "sar", Link: Link{CreatedAt: time.Unix(0, 0)}}
	const wantEmpty = `{"click":null,"link":{"id":"","url":"","shortUrl":"",` +
		`"qrCode":"/qrcode?text=%3Fqr%3D1&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",` +
		`"title":null,"description":null,"image":null,"utm":null,"collectionId":null,"partnerId":null,"tenantId":null,"externalId":null,"createdAt":"1970-01-01T00:00:00Z"},` +
		`"customer":{"id":"","name":"","email":null,"phone":null,"avatar":null,"externalId":""},` +
		`"sale":{"amount":0,"currency":"sar","eventName":"","metadata":null}}`

	for want, recorded := range map[string]*Recorded{wantFull: full, wantEmpty: empty} {
		got := AppendResponse(nil, recorded)
		if string(got) != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
		if !json.Valid(got) {
			t.Errorf("not JSON: %s", got)
		}
	}
}

func TestAppendResponse_AnswersOnlyUTMsThatSaySomething(t *testing.T) {
	for stored, want := range map[string]string{
		``:                  `null`,
		`null`:              `null`,
		`{}`:                `null`,
		`[]`:                `null`,
		`"source"`:          `null`,
		`{`:                 `null`,
		`{"source": ""}`:    `null`,
		`{"source": null}`:  `null`,
		`{"Source": "a"}`:   `null`,
		`{"source": {}}`:    `null`,
		`{"utm_term": "a"}`: `null`,
		`{"referral": "f", "content": "e", "term": "d", "campaign": "c", "medium": "b", "source": "a"}`: `{"source":"a","medium":"b","campaign":"c","term":"d","content":"e","referral":"f"}`,
		`{"s\u006furce": "a", "source": {"source": ["b"]}, "source": "c", "medium": "\ud800"} `:         `{"source":"c","medium":"�"}`,
		`{"source": "a"`:                        `null`,
		`{"term": "\u0041\"", "source": 1e999}`: `{"term":"A\""}`,
	} {
		if got := appendUTM(nil, json.RawMessage(stored)); string(got) != want {
			t.Errorf("utm %s\n got %s\nwant %s", stored, got, want)
		}
	}
}

func TestAppendResponse_WritesAsMuchOfASecondAsThereIs(t *testing.T) {
	for nanoseconds, want := range map[int]string{
		0:           `"2024-01-01T00:00:00Z"`,
		500_000_000: `"2024-01-01T00:00:00.5Z"`,
		120_000_000: `"2024-01-01T00:00:00.12Z"`,
		1_000:       `"2024-01-01T00:00:00.000001Z"`,
	} {
		recorded := publishedSale()
		recorded.Link.CreatedAt = time.Date(2024, 1, 1, 0, 0, 0, nanoseconds, time.UTC)
		if got := AppendResponse(nil, recorded); !bytes.Contains(got, []byte(`"createdAt":`+want)) {
			t.Errorf("%d ns: %s lacks %s", nanoseconds, got, want)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	recorded := publishedSale()
	recorded.Link.Title = new("عرض الشتاء & more")
	buffer := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendResponse(buffer[:0], recorded)
	}
}
