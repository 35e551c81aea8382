package contract

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestContract_ByStatus(t *testing.T) {
	s := harness.StartStack(t, nil)
	harness.EachProtocol(t, s.Edge, func(t *testing.T, c *http.Client) {
		t.Run("201 with the published answer after the commit", func(t *testing.T) {
			before := s.DB.Sales()
			got := s.Sell(t, c, harness.ValidSale, "X-Request-Id", "mine")
			harness.WantAnswer(t, got, 201, harness.PublishedOK)
			harness.WantEdgeHeaders(t, got)
			harness.WantHeader(t, got, "Hoko-Attribution", "latest-lead")
			id := got.Header.Get("Hoko-Sale-Id")
			if !harness.UUIDv7.MatchString(id) {
				t.Fatalf("Hoko-Sale-Id is %q", id)
			}
			n := s.DB.Count("SELECT count(*) FROM hoko.sales WHERE id = $1 AND amount = 12900", id)
			if n != 1 || s.DB.Sales() != before+1 {
				t.Fatalf("%d rows with that ID, %d sales after %d", n, s.DB.Sales(), before)
			}
			for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
				"RateLimit", "RateLimit-Policy"} {
				if got.Header.Get(name) == "" {
					t.Errorf("no %s", name)
				}
			}
			harness.WantHeader(t, got, "RateLimit-Policy", `"default";q=600;w=60`)
		})

		rejected := func(name string, status int, body string, send func() harness.Answer,
			also func(t *testing.T, got harness.Answer)) {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				before := s.DB.Sales()
				got := send()
				harness.WantAnswer(t, got, status, body)
				harness.WantEdgeHeaders(t, got)
				if also != nil {
					also(t, got)
				}
				s.DB.WantSales(t, before)
				harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK) // the next one
			})
		}
		header := func(name, value string) func(*testing.T, harness.Answer) {
			return func(t *testing.T, got harness.Answer) { t.Helper(); harness.WantHeader(t, got, name, value) }
		}
		post := func(body string, headers ...string) func() harness.Answer {
			return func() harness.Answer { return s.Call(t, c, "POST", "/api/track/sale", body, headers...) }
		}
		authorized := func(body string, headers ...string) func() harness.Answer {
			return post(body, append([]string{"Authorization", "Bearer " + harness.FullKey}, headers...)...)
		}

		rejected("negative amount", 400, harness.Body400,
			authorized(strings.Replace(harness.ValidSale, "12900", "-100", 1)),
			header("Hoko-Reason", "amount: must be a non-negative integer"))
		rejected("no lead and no click", 400, harness.Body400,
			authorized(strings.Replace(harness.ValidSale, "customer_123", "unknown "+t.Name(), 1)), nil)
		rejected("another workspace's click", 400, harness.Body400,
			authorized(strings.Replace(harness.ValidSale, `{`, `{"clickId":"click_two",`, 1)), nil)
		rejected("malformed idempotency key", 400, harness.Body400,
			authorized(harness.ValidSale, "Idempotency-Key", "a", "Idempotency-Key", "b"), nil)
		rejected("no key", 401, harness.Body401, post(harness.ValidSale), header("WWW-Authenticate", "Bearer"))
		rejected("another scheme", 401, harness.Body401,
			post(harness.ValidSale, "Authorization", "Basic aGVsbG86d29ybGQ="), header("WWW-Authenticate", "Bearer"))
		rejected("unknown key", 401, harness.Body401, post(harness.ValidSale, "Authorization", "Bearer invalid_key"),
			header("WWW-Authenticate", `Bearer error="invalid_token"`))
		rejected("missing scope", 403, harness.Body403,
			post(harness.ValidSale, "Authorization", "Bearer "+harness.ReadOnlyKey),
			header("WWW-Authenticate", `Bearer error="insufficient_scope", scope="conversionsWrite"`))
		rejected("compressed body", 415, harness.Body415,
			authorized(harness.ValidSale, "Content-Encoding", "gzip"), nil)
		rejected("large body", 413, harness.Body413, authorized(harness.ValidSale+strings.Repeat(" ", 64<<10)), nil)
		rejected("early data", 425, harness.Body425, authorized(harness.ValidSale, "Early-Data", "1"), nil)

		t.Run("201 64 KiB exactly", func(t *testing.T) {
			harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale+strings.Repeat(" ", 64<<10-len(harness.ValidSale))),
				201, harness.PublishedOK)
		})
		t.Run("201 bare key, and a scheme in any case", func(t *testing.T) {
			for _, scheme := range []string{"", "bearer ", "BEARER   "} {
				harness.WantAnswer(t, s.SellAs(t, c, scheme+harness.FullKey), 201, harness.PublishedOK)
			}
		})
		t.Run("201 replayed and 422 by idempotency key", func(t *testing.T) {
			key := "order of " + t.Name()
			first := s.Sell(t, c, harness.ValidSale, "Idempotency-Key", key)
			harness.WantAnswer(t, first, 201, harness.PublishedOK)
			before := s.DB.Sales()
			again := s.Sell(t, c, " "+harness.ValidSale, "Idempotency-Key", key)
			harness.WantAnswer(t, again, 201, first.Text)
			harness.WantHeader(t, again, "Idempotency-Replayed", "true")
			harness.WantHeader(t, again, "Hoko-Sale-Id", first.Header.Get("Hoko-Sale-Id"))
			other := s.Sell(t, c, strings.Replace(harness.ValidSale, "12900", "12901", 1), "Idempotency-Key", key)
			harness.WantAnswer(t, other, 422, harness.Body422)
			harness.WantHeader(t, other, "RateLimit-Policy", `"default";q=600;w=60`)
			s.DB.WantSales(t, before)
		})
	})
}

func TestSiteError_UnderAPIIsInTheEnvelope(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	s.Site.Close()
	got := s.Call(t, c, "GET", "/API/links", "")
	harness.WantAnswer(t, got, 502, harness.Body502)
	harness.WantEdgeHeaders(t, got)
	if page := s.Call(t, c, "GET", "/page", ""); page.StatusCode != 502 || strings.Contains(page.Text, "error") {
		t.Fatalf("a page got %d %q", page.StatusCode, page.Text)
	}
}

func TestRateLimit_IsPublished429(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/1.1", harness.Replace("limit 600/1m", "limit 1/1m"))
	first := s.Sell(t, c, harness.ValidSale)
	harness.WantAnswer(t, first, 201, harness.PublishedOK)
	harness.WantHeader(t, first, "X-RateLimit-Limit", "1")
	harness.WantHeader(t, first, "X-RateLimit-Remaining", "0")
	denied := s.SellAs(t, c, harness.FullKey) // the same bucket
	harness.WantEdgeHeaders(t, denied)
	retryAfter := denied.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(retryAfter); err != nil || seconds < 1 || seconds > 60 {
		t.Fatalf("Retry-After is %q", retryAfter)
	}
	harness.WantAnswer(t, denied, 429,
		`{"error":{"en":"Rate limit exceeded","ar":"تم تجاوز حد المعدل"},"retryAfter":`+retryAfter+`}`)
	harness.WantHeader(t, denied, "RateLimit-Policy", `"default";q=1;w=60`)
	s.DB.WantSales(t, 1)
	// A 403 is not charged and has no limit headers.
	forbidden := s.SellAs(t, c, harness.ReadOnlyKey)
	harness.WantAnswer(t, forbidden, 403, harness.Body403)
	if forbidden.Header.Get("X-RateLimit-Limit") != "" {
		t.Fatal("a 403 has limit headers")
	}
}

func TestMissingTable_Is503AndLogNamesCommand(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
	s.DB.Exec("ALTER TABLE hoko.sales RENAME TO gone")
	got := s.Sell(t, c, harness.ValidSale)
	harness.WantAnswer(t, got, 503, harness.Body503)
	harness.WantEdgeHeaders(t, got)
	if after := got.Header.Get("Retry-After"); after != "1" && after != "2" {
		t.Errorf("Retry-After %q, want 1 or 2", after)
	}
	harness.WantHeader(t, got, "RateLimit-Policy", `"default";q=600;w=60`)
	s.Log.Wait(t, got.Header.Get("X-Request-Id"), "caddy hoko migrate")
	harness.WantStatus(t, s.Call(t, c, "GET", "/page", ""), 200)
	s.DB.Exec("ALTER TABLE hoko.gone RENAME TO sales")
	harness.WantAnswer(t, s.Sell(t, c, harness.ValidSale), 201, harness.PublishedOK)
}

func TestKeys_AppearInNoLogOrAdminAnswer(t *testing.T) {
	s := harness.StartStack(t, func(config string) string { return strings.Replace(config, "{\n", "{\n\tdebug\n", 1) })
	c := s.Client(t, "HTTP/1.1")
	s.Sell(t, c, harness.ValidSale)
	s.Sell(t, c, `{"customerName":"a client's value"}`)
	unknown := "hoko_unknown_key"
	s.SellAs(t, c, "Bearer "+unknown)
	s.SellAs(t, c, unknown)
	s.Call(t, c, "POST", "/elsewhere", harness.ValidSale, "Authorization", "Bearer "+unknown)
	all := s.Log.String() + s.AdminGet(t, "/config/") + s.AdminGet(t, "/hoko/") + s.AdminGet(t, "/metrics")
	for _, secret := range []string{harness.FullKey, unknown, s.DSN, "a client's value", "john@example.com"} {
		if i := strings.Index(all, secret); i >= 0 {
			t.Errorf("%q appears: …%s…", secret, all[max(0, i-300):min(len(all), i+100)])
		}
	}
	if !strings.Contains(s.Log.String(), "customerExternalId") {
		t.Error("the log does not name the wrong member")
	}
}

func TestRequestID_LeadsToTheCauseInTheLog(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	for _, wrong := range []struct{ key, body, cause string }{
		{"unknown", harness.ValidSale, `"cause":"unknown"`},
		{harness.ReadOnlyKey, harness.ValidSale, `"cause":"missing_scopes"`},
		{harness.FullKey, `{"customerExternalId":"a","amount":-5,"customerName":"x"}`,
			`"reason":"amount: must be a non-negative integer"`},
		{harness.FullKey, harness.ValidSale + strings.Repeat(" ", 64<<10), `"cause":"too_large"`},
	} {
		got := s.Call(t, c, "POST", "/api/track/sale", wrong.body, "Authorization", wrong.key)
		s.Log.Wait(t, got.Header.Get("X-Request-Id"), wrong.cause)
	}
}
