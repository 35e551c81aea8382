package sale

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

//go:embed testdata/published-201.json
var published201 []byte

const qrOptions = "&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg"

// publishedSale returns the sale of the published example.
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
		Customer: Customer{ID: "customer_123", Name: "John Doe", Email: new("john@example.com"),
			ExternalID: "customer_123"},
		Amount: 12900, Currency: "usd", EventName: "Invoice paid",
		Metadata: []byte(`{"invoiceId":"inv_123"}`),
	}
}

func TestAppendResponse_EqualsThePublishedExample(t *testing.T) {
	var want bytes.Buffer
	if err := json.Compact(&want, published201); err != nil {
		t.Fatal(err)
	}
	if got := AppendResponse([]byte("kept"), publishedSale()); string(got) != "kept"+want.String() {
		t.Errorf("\n got %s\nwant kept%s", got, want.Bytes())
	}
}

// The bytes of what the example leaves out. If they change, replays of recorded sales change, too.
func TestAppendResponse_IsFrozen(t *testing.T) {
	full := publishedSale()
	full.ClickID = new(`c"1`)
	full.Link.Title = new("عرض <b>&amp;</b> \u2028\u2029 🛒 \x7f")
	full.Link.Description = new("\b\t\n\f\r\x00\x1f\\\"/")
	full.Link.Image = new("https://example.com/a.png?x=1&y=2")
	full.Link.UTM = json.RawMessage(`{"referral": "r", "source": "نشرة", "medium": "", "content": 1, "term": "<t>", ` +
		`"other": "x"}`)
	full.Link.CreatedAt = time.Date(2024, 2, 29, 2, 4, 5, 120_300_000, time.FixedZone("+03", 3*60*60))
	full.Customer = Customer{ID: "7", Name: "", Phone: new("+966"), Avatar: new("https://a.example/م"),
		ExternalID: "زبون"}
	full.Amount = 9007199254740991
	full.EventName = ""
	full.Metadata = []byte(`{"b":1.0,"a":"\u0041<&>","n":{"x":[1e2,null]}}`)
	const wantFull = `{"click":{"id":"c\"1"},"link":{"id":"link_xyz","url":"https://example.com",` +
		`"shortUrl":"https://hoko.to/abc123",` +
		`"qrCode":"https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1` + qrOptions + `",` +
		`"title":"عرض <b>&amp;</b> ` + "\u2028\u2029" + ` 🛒 ` + "\x7f" +
		`","description":"\b\t\n\f\r\u0000\u001f\\\"/","image":"https://example.com/a.png?x=1&y=2",` +
		`"utm":{"source":"نشرة","term":"<t>","referral":"r"},` +
		`"collectionId":"550e8400-e29b-41d4-a716-446655440000","partnerId":"partner_123","tenantId":"tenant_456",` +
		`"externalId":"ext_789","createdAt":"2024-02-28T23:04:05.1203Z"},` +
		`"customer":{"id":"7","name":"","email":null,"phone":"+966","avatar":"https://a.example/م",` +
		`"externalId":"زبون"},` +
		`"sale":{"amount":9007199254740991,"currency":"usd","eventName":"","metadata":{"b":1.0,"a":"\u0041<&>",` +
		`"n":{"x":[1e2,null]}}}}`

	empty := &Recorded{Currency: "sar", Link: Link{CreatedAt: time.Unix(0, 0)}}
	const wantEmpty = `{"click":null,"link":{"id":"","url":"","shortUrl":"",` +
		`"qrCode":"/qrcode?text=%3Fqr%3D1` + qrOptions + `",` +
		`"title":null,"description":null,"image":null,"utm":null,"collectionId":null,"partnerId":null,` +
		`"tenantId":null,"externalId":null,"createdAt":"1970-01-01T00:00:00Z"},` +
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

func TestAppendResponse_OmitsEmptyUTM(t *testing.T) {
	utm := func(stored string) string { return string(appendUTM(nil, json.RawMessage(stored))) }
	expectEach(t, utm, map[string]string{
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
		`{"referral": "f", "content": "e", "term": "d", "campaign": "c", "medium": "b", "source": "a"}`: `` +
			`{"source":"a","medium":"b","campaign":"c","term":"d","content":"e","referral":"f"}`,
		`{"s\u006furce": "a", "source": {"source": ["b"]}, "source": "c", "medium": "\ud800"} `: `` +
			`{"source":"c","medium":"�"}`,
		`{"source": "a"`:                        `null`,
		`{"term": "\u0041\"", "source": 1e999}`: `{"term":"A\""}`,
	})
}

func TestAppendResponse_OmitsTrailingZeros(t *testing.T) {
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

func TestAppendQRCodeURL_EqualsThePublishedOne(t *testing.T) {
	const want = "https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1" + qrOptions
	if got := appendQRCodeURL(nil, "https://hoko.to/abc123"); string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestOrigin_EqualsThatOfABrowser(t *testing.T) {
	expectEach(t, origin, map[string]string{
		"https://hoko.to/a":         "https://hoko.to",
		"https://hoko.to":           "https://hoko.to",
		"https://hoko.to?x=1":       "https://hoko.to",
		"https://hoko.to#f":         "https://hoko.to",
		"HTTPS://Hoko.TO/A":         "https://hoko.to",
		"https://hoko.to:443/a":     "https://hoko.to",
		"https://hoko.to:8443/a":    "https://hoko.to:8443",
		"http://hoko.to:80/a":       "http://hoko.to",
		"http://hoko.to:443/a":      "http://hoko.to:443",
		"https://hoko.to:80/a":      "https://hoko.to:80",
		"https://me:pw@hoko.to/a":   "https://hoko.to",
		"https://hoko.to/@me":       "https://hoko.to",
		"https://[::1]:8080/a":      "https://[::1]:8080",
		"https://hoko.to/a://b/c":   "https://hoko.to",
		"hoko.to/a":                 "hoko.to",
		"/a":                        "",
		"":                          "",
		"https://روابط.example/عرض": "https://روابط.example",
	})
}

func TestWithQR_AddsToTheQuery(t *testing.T) {
	expectEach(t, withQR, map[string]string{
		"https://hoko.to/a":            "https://hoko.to/a?qr=1",
		"https://hoko.to":              "https://hoko.to?qr=1",
		"https://hoko.to/a?":           "https://hoko.to/a?qr=1",
		"https://hoko.to/a?x=1":        "https://hoko.to/a?x=1&qr=1",
		"https://hoko.to/a?x=1&y=?":    "https://hoko.to/a?x=1&y=?&qr=1",
		"https://hoko.to/a#f":          "https://hoko.to/a?qr=1#f",
		"https://hoko.to/a?#f":         "https://hoko.to/a?qr=1#f",
		"https://hoko.to/a?x=1#f?g#h":  "https://hoko.to/a?x=1&qr=1#f?g#h",
		"https://hoko.to/a#f?no=query": "https://hoko.to/a?qr=1#f?no=query",
		"":                             "?qr=1",
	})
}

// The expected values are those of encodeURIComponent in a browser.
func TestAppendURIComponent_EscapesAsABrowser(t *testing.T) {
	expectEach(t, func(text string) string { return string(appendURIComponent(nil, text)) }, map[string]string{
		"":                            "",
		"https://hoko.to/abc123?qr=1": "https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1",
		"AZaz09-_.!~*'()":             "AZaz09-_.!~*'()",
		"a b+c&d=e/f?g#h%i":           "a%20b%2Bc%26d%3De%2Ff%3Fg%23h%25i",
		"\"<>\\^`{|}[]@:;,$":          "%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D%40%3A%3B%2C%24",
		"مثال":                        "%D9%85%D8%AB%D8%A7%D9%84",
		"🛒":                           "%F0%9F%9B%92",
		"é":                           "%C3%A9",
		"中文":                          "%E4%B8%AD%E6%96%87",
		"\x00\x1f\x7f\u2028":          "%00%1F%7F%E2%80%A8",
	})
}

// FuzzQRCode checks that the URL of a QR code contains the escaped short link, whatever that is.
func FuzzQRCode(f *testing.F) {
	for _, short := range []string{"https://hoko.to/abc123", "HTTPS://Hoko.TO:443/a?x=1#f", "https://u:p@hoko.to/",
		"//hoko.to", "", "https://روابط.example/عرض?a=%20", "a\x00\"<&>", "https://[::1]:8080/?#",
		"https://a/-_.!~*'();/?:@&=+$,[]^`{|}"} {
		f.Add(short)
	}
	f.Fuzz(func(t *testing.T, short string) {
		got := string(appendQRCodeURL([]byte("kept "), short))
		got, kept := strings.CutPrefix(got, "kept "+origin(short)+"/qrcode?text=")
		text, found := strings.CutSuffix(got, qrOptions)
		if !kept || !found {
			t.Fatalf("%q gives %q", short, got)
		}
		if strings.Trim(text, "%-_.!~*'()0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q is not escaped", text)
		}
		if again, err := url.PathUnescape(text); err != nil || again != withQR(short) {
			t.Errorf("%q comes back as %q, %v", withQR(short), again, err)
		}
		address, fragment, _ := strings.Cut(short, "#")
		marked, ofMarked, _ := strings.Cut(withQR(short), "#")
		if fragment != ofMarked || !strings.HasPrefix(marked, address) || !strings.HasSuffix(marked, "qr=1") ||
			!strings.Contains(marked, "?") {
			t.Errorf("%q became %q", short, withQR(short))
		}
	})
}

// FuzzResponse checks that the response is JSON with the same values, whatever the row contains.
func FuzzResponse(f *testing.F) {
	f.Add("click_abc123", "https://hoko.to/abc123", `{"source":"a","medium":"","x":1}`, "John Doe", `{"a":1}`,
		int64(12900))
	f.Add("", "", "", "\x00\u2028\"\\\xff", "", int64(0))
	f.Add("<&>", "مرحبا", `{"source":"\ud800","campaign":null,"term":{"source":"b"},"source":"b"}`, "😀", `{"😀":[]}`,
		int64(maxAmount))
	f.Add("a", "b", `["source"]`, "c", `{}`, int64(1))
	f.Add("a", "b", `{"source":"a"`, "c", `{}`, int64(1))
	f.Fuzz(func(t *testing.T, id, short, utm, name, metadata string, amount int64) {
		r := &Recorded{ClickID: &id, Link: Link{ID: id, URL: short, ShortURL: short, Title: &name,
			UTM: json.RawMessage(utm), CreatedAt: time.Unix(amount%1e9, amount%1e9)},
			Customer: Customer{ID: id, Name: name, Email: &name, ExternalID: id}, Amount: amount, Currency: "usd",
			EventName: name}
		if m, err := Decode([]byte(with("metadata", metadata))); err == nil { // other metadata is never stored
			r.Metadata = m.Metadata
		}
		body := AppendResponse(nil, r)
		if !utf8.Valid(body) {
			t.Fatalf("not UTF-8: %q", body)
		}
		var got struct {
			Click struct{ ID string }
			Link  struct {
				ShortURL string
				UTM      map[string]string
			}
			Customer struct{ Name, Email string }
			Sale     struct {
				Amount   int64
				Metadata json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		valid := func(text string) string { return strings.ToValidUTF8(text, "") }
		plain := func(text string) string { return strings.ReplaceAll(valid(text), "\ufffd", "") }
		if plain(got.Click.ID) != plain(id) || plain(got.Link.ShortURL) != plain(short) ||
			plain(got.Customer.Name) != plain(name) || plain(got.Customer.Email) != plain(name) ||
			got.Sale.Amount != amount {
			t.Errorf("%+v became %s", r, body)
		}
		if want := string(r.Metadata); want != "" && string(got.Sale.Metadata) != want {
			t.Errorf("metadata %s became %s", want, got.Sale.Metadata)
		}
		for key, value := range got.Link.UTM {
			if value == "" || !strings.Contains(" source medium campaign term content referral ", " "+key+" ") {
				t.Errorf("utm %s has %q: %q", utm, key, value)
			}
		}
	})
}
