package sale

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever a link's row holds, its address comes back from the QR code's.
func FuzzQRCode(f *testing.F) {
	for _, short := range []string{"https://hoko.to/abc123", "HTTPS://Hoko.TO:443/a?x=1#f", "https://u:p@hoko.to/", "//hoko.to", "", "https://روابط.example/عرض?a=%20", "a\x00\"<&>", "https://[::1]:8080/?#", "https://a/-_.!~*'();/?:@&=+$,[]^`{|}"} {
		f.Add(short)
	}
	f.Fuzz(func(t *testing.T, short string) {
		got := string(appendQRCodeURL([]byte("kept "), short))
		got, kept := strings.CutPrefix(got, "kept "+origin(short)+"/qrcode?text=")
		text, found := strings.CutSuffix(got, "&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg")
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
		if fragment != ofMarked || !strings.HasPrefix(marked, address) || !strings.HasSuffix(marked, "qr=1") || !strings.Contains(marked, "?") {
			t.Errorf("%q became %q", short, withQR(short))
		}
	})
}

// Whatever a row's columns hold, the answer is JSON that says the same.
func FuzzResponse(f *testing.F) {
	f.Add("click_abc123", "https://hoko.to/abc123", `{"source":"a","medium":"","x":1}`, "John Doe", `{"a":1}`, int64(12900))
	f.Add("", "", "", "\x00\u2028\"\\\xff", "", int64(0))
	f.Add("<&>", "مرحبا", `{"source":"\ud800","campaign":null,"term":{"source":"b"},"source":"b"}`, "😀", `{"😀":[]}`, int64(maxAmount))
	f.Add("a", "b", `["source"]`, "c", `{}`, int64(1))
	f.Add("a", "b", `{"source":"a"`, "c", `{}`, int64(1))
	f.Fuzz(func(t *testing.T, id, short, utm, name, metadata string, amount int64) {
		r := &Recorded{ClickID: &id, Link: Link{ID: id, URL: short, ShortURL: short, Title: &name, UTM: json.RawMessage(utm), CreatedAt: time.Unix(amount%1e9, amount%1e9)},
			Customer: Customer{ID: id, Name: name, Email: &name, ExternalID: id}, Amount: amount, Currency: "usd", EventName: name}
		if m, err := Decode([]byte(with("metadata", metadata))); err == nil { // what is not is stored nowhere
			r.Metadata = m.Metadata
		}
		body := AppendResponse(nil, r)
		if !utf8.Valid(body) {
			t.Fatalf("no UTF-8: %q", body)
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
		if plain(got.Click.ID) != plain(id) || plain(got.Link.ShortURL) != plain(short) || plain(got.Customer.Name) != plain(name) || plain(got.Customer.Email) != plain(name) || got.Sale.Amount != amount {
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
