package hostile

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func TestForwardedFor_ForgedIsIgnored(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		before := len(s.Site.Requests())
		s.Call(t, c, "GET", "/page", "", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-For", "203.0.113.10",
			"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "gopher",
			"X_Forwarded_For", "203.0.113.11", "X.Forwarded.For", "203.0.113.11")
		header := s.Site.Requests()[before].Header
		if from := header["X-Forwarded-For"]; len(from) != 1 || !isLoopback(from[0]) {
			t.Errorf("X-Forwarded-For is %q", from)
		}
		host, proto := header["X-Forwarded-Host"], header["X-Forwarded-Proto"]
		if fmt.Sprint(host, proto) != fmt.Sprintf("[localhost:%d] [https]", s.Port) {
			t.Errorf("X-Forwarded-Host is %q, X-Forwarded-Proto %q", host, proto)
		}
	})
	if strings.Contains(s.Log.String(), `"client_ip":"203.`) {
		t.Error("the log shows the forged address")
	}
}

func isLoopback(address string) bool { return address == "127.0.0.1" || address == "::1" }

// A caller may send the headers that the edge sets itself. They have no effect.
func TestForgedHeaders_ChangeNoAnswer(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		const forged = "0190a000-0000-7000-8000-000000000000"
		var headers []string
		for _, name := range []string{"Hoko-Sale-Id", "Hoko_Sale_Id", "hoko-key-id", "Hoko_Key_Id", "Hoko.Key.Id",
			"Hoko-Workspace", "Hoko-Attribution", "Hoko-Reason", "X-Request-Id", "X_Request_Id", "Idempotency_Key",
			"Idempotency-Replayed", "X-RateLimit-Limit", "RateLimit", "Remote-User", "X-Api-Key",
			"Proxy-Authorization"} {
			headers = append(headers, name, forged)
		}
		for range 2 { // Idempotency_Key is not Idempotency-Key: the second is another sale
			before := s.DB.Sales()
			got := s.Sell(t, c, harness.ValidSale, headers...)
			harness.WantAnswer(t, got, 201, harness.PublishedOK)
			if s.DB.Sales() != before+1 || got.Header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("%d sales before, %d after", before, s.DB.Sales())
			}
			for name, values := range got.Header {
				if strings.Contains(strings.Join(values, " "), forged) {
					t.Errorf("%s is %q", name, values)
				}
			}
		}
		harness.WantAnswer(t, s.Call(t, c, "POST", "/api/track/sale", harness.ValidSale, "Authorization_",
			harness.FullKey, "X-Api-Key", harness.FullKey, "Hoko-Key-Id", harness.KeyID(harness.FullKey)), 401,
			harness.Body401)
		harness.WantAnswer(t, s.Call(t, c, "POST", "/api/track/sale?key="+harness.FullKey+"&authorization="+
			harness.FullKey, harness.ValidSale), 401, harness.Body401)
	})
}

func TestAllowedHosts_CannotBeBypassed(t *testing.T) {
	s := harness.StartStack(t, nil)
	confined := "hoko_key_of_pages"
	s.DB.AddKey(confined, "conversionsWrite")
	s.DB.Exec(`UPDATE hoko.api_keys SET rate_limit = 1000000,
		allowed_hostnames = '{shop.example.com,*.apps.example.com,bücher.example,192.0.2.7}' WHERE id = $1`,
		harness.KeyID(confined))
	type headers []string
	cases := []struct {
		status int
		sent   headers
	}{
		{201, nil},
		{201, headers{"Origin", "https://shop.example.com"}},
		{201, headers{"Origin", "http://SHOP.Example.com:8443"}},
		{201, headers{"Origin", "https://shop.example.com."}},
		{201, headers{"Origin", "https://a.b.apps.example.com"}},
		{201, headers{"Origin", "https://xn--bcher-kva.example"}},
		{201, headers{"Origin", "https://192.0.2.7:8080"}},
		{201, headers{"Referer", "https://shop.example.com/a?b=https://evil.example"}},
		{401, headers{"Referer", "https://evil.example/shop.example.com"}},
		{401, headers{"Origin", "https://evil.example", "Referer", "https://shop.example.com/"}},
		{401, headers{"Origin", "", "Referer", "https://shop.example.com/"}},
		{401, headers{"Origin", "null", "Referer", "https://shop.example.com/"}},
		{401, headers{"Origin", "https://shop.example.com", "Origin", "https://evil.example"}},
	}
	for _, origin := range []string{
		"null", "shop.example.com", "//shop.example.com", "https:shop.example.com", "https:///shop.example.com",
		"javascript:shop.example.com", "*", "https://shop.example.com.evil.example", "https://evilshop.example.com",
		"https://example.com", "https://apps.example.com", "https://xapps.example.com", "https://.apps.example.com",
		"https://shop.example.com@evil.example", "https://shop.example.com:443@evil.example",
		"https://evil.example@shop.example.com", "https://evil.example#shop.example.com",
		"https://evil.example?shop.example.com", "https://evil.example/shop.example.com",
		`https://evil.example\.shop.example.com`, `https://evil.example\@shop.example.com`,
		"https://shop.example.com%2eevil.example", "https://shop.example.com%00.evil.example",
		"https://shop.example.com..", "https://shop.example.com, https://evil.example",
		"https://shop.example.com https://evil.example", "https://shоp.example.com", "https://bücher.example",
		"https://ſhop.example.com", "https://shop。example。com", "https://[192.0.2.7]", "https://[::ffff:192.0.2.7]",
		"https://3221225991", "https://192.0.2.7.evil.example", "https://shop.example.com:x",
		"https://*.apps.example.com:80@evil.example", "https://[shop.example.com]",
	} {
		cases = append(cases, struct {
			status int
			sent   headers
		}{401, headers{"Origin", origin}})
	}
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		for _, tc := range cases {
			got := s.Call(t, c, "POST", "/api/track/sale", harness.ValidSale,
				append(headers{"Authorization", confined}, tc.sent...)...)
			if got.StatusCode != tc.status {
				t.Errorf("%q: got %d, want %d", tc.sent, got.StatusCode, tc.status)
			}
		}
	})
}

// Spellings other than those of TestPathSpellings_ThatCaddyEquatesAreTheRoute and
// TestProxy_PassesEverythingElseUnchanged.
func TestPathSpellings_ReachTheRouteOrTheSite(t *testing.T) {
	s := harness.StartStack(t, nil)
	escaped := strings.NewReplacer("#", "%23", `\`, "%5C", "ſ", "%C5%BF") // characters that a URL must escape
	toRoute := []string{
		"/api/track/./sale", "/./api/track/sale", "/api/track//sale", "///api/track/sale", "/x/../api/track/sale",
		"/../api/track/sale", "/api/track/x/%2e%2e/sale", "/%61pi/track/sale", "/api/track/%2e/sale",
		"/api%2Ftrack%2Fsale", "/api/track/SAL%45", "/api/track/sale?", "/api/track/sale?/../x", "/api/track/sale/.",
		"https://localhost/api/track/sale", "http://localhost/api/track/sale", "/api/track/sale/x/..",
	}
	for i, target := range append(toRoute,
		"/api/track/sale//", "/api/track/sale%2f", "/api/track/sale;", "/api/track;x/sale", "/api/track/sale%3b",
		"/api/track/sale%3fx", "/api/track/sale%23", "/api/track/sale#x", "/api/track/sale%00", "/api/track/sale%0a",
		"/api/track/sale.", "/api/track/sale.json", "/api/track/s%2561le", `/api\track\sale`, "/api%5ctrack%5csale",
		"/api/track/sale/..", "/api/track/ſale", "/api/track/%c5%bfale", "/v1/api/track/sale", "/api/track/+sale",
		"/api/track/sale+", "/api/track",
	) {
		route := i < len(toRoute)
		t.Run(target, func(t *testing.T) {
			for key, want := range map[string]int{"unknown": 401, harness.ReadOnlyKey: 403, harness.FullKey: 201} {
				before, sales := len(s.Site.Requests()), s.DB.Sales()
				conn := s.Dial(t)
				harness.WriteSale(conn, target, key, "Hoko-Key-Id: forged\r\nHoko_Scopes: forged\r\n")
				got := harness.ReadAnswer(t, bufio.NewReader(conn))
				seen := s.Site.Requests()[before:]
				if route {
					if got.StatusCode != want || len(seen) != 0 {
						t.Errorf("%s: got %d, want %d, the site saw %v", key, got.StatusCode, want, seen)
					}
					continue
				}
				if got.StatusCode != 200 || s.DB.Sales() != sales || len(seen) != 1 ||
					seen[0].URI != escaped.Replace(target) {
					t.Errorf("%s: got %d, the site saw %.300v", key, got.StatusCode, seen)
					continue
				}
				for name := range seen[0].Header {
					if strings.HasPrefix(strings.ToLower(name), "hoko") {
						t.Errorf("%s: %s reached the site", key, name)
					}
				}
			}
		})
	}
}
