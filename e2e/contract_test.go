package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	validSale   = `{"customerExternalId":"customer_123","amount":12900,"currency":"usd","eventName":"Invoice paid","customerName":"John Doe","customerEmail":"john@example.com"}`
	publishedOK = `{"click":{"id":"click_abc123"},"link":{"id":"link_xyz","url":"https://example.com","shortUrl":"https://hoko.to/abc123",` +
		`"qrCode":"https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc123%3Fqr%3D1&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",` +
		`"title":null,"description":null,"image":null,"utm":null,"collectionId":"550e8400-e29b-41d4-a716-446655440000","partnerId":"partner_123",` +
		`"tenantId":"tenant_456","externalId":"ext_789","createdAt":"2024-01-01T00:00:00Z"},` +
		`"customer":{"id":"customer_123","name":"John Doe","email":"john@example.com","phone":null,"avatar":null,"externalId":"customer_123"},` +
		`"sale":{"amount":12900,"currency":"usd","eventName":"Invoice paid","metadata":null}}`

	body400 = `{"error":{"en":"Invalid request","ar":"طلب غير صالح"}}`
	body401 = `{"error":{"en":"Invalid API key","ar":"مفتاح API غير صالح"}}`
	body403 = `{"error":{"en":"Missing required scopes","ar":"الصلاحيات المطلوبة مفقودة"},"missingScopes":["conversionsWrite"]}`
	body413 = `{"error":{"en":"Request body too large","ar":"حجم الطلب كبير جدًا"}}`
	body415 = `{"error":{"en":"Unsupported content encoding","ar":"ترميز المحتوى غير مدعوم"}}`
	body422 = `{"error":{"en":"Idempotency key was used with a different request","ar":"استُخدم مفتاح عدم التكرار مع طلب مختلف"}}`
	body425 = `{"error":{"en":"Too early","ar":"الطلب مبكر جدًا"}}`
	body502 = `{"error":{"en":"Bad gateway","ar":"بوابة غير صالحة"}}`
	body503 = `{"error":{"en":"Service temporarily unavailable","ar":"الخدمة غير متاحة مؤقتًا"}}`
)

var (
	uuidv7    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	requestID = regexp.MustCompile(`^[0-9a-f-]{36}$`)
)

// eachProtocol runs a test over HTTP/1.1, HTTP/2 and HTTP/3 against one edge.
func eachProtocol(t *testing.T, e *edge, test func(t *testing.T, c *http.Client)) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			c := e.client(t, protocol)
			if got := e.call(t, c, "GET", "/protocol", "").Proto; got != protocol {
				t.Fatalf("spoke %s, not %s", got, protocol)
			}
			test(t, c)
		})
	}
}

// wantEdgeHeaders: what every answer of the edge itself carries.
func wantEdgeHeaders(t testing.TB, got answer) {
	t.Helper()
	wantHeader(t, got, "Content-Type", "application/json; charset=utf-8")
	wantHeader(t, got, "Cache-Control", "no-store")
	if ids := got.Header.Values("X-Request-Id"); len(ids) != 1 || !requestID.MatchString(ids[0]) {
		t.Fatalf("X-Request-Id is %q", ids)
	}
}

func TestContractByStatus(t *testing.T) {
	s := startStack(t, nil)
	eachProtocol(t, s.edge, func(t *testing.T, c *http.Client) {
		t.Run("201 a sale is recorded, committed and answered as published", func(t *testing.T) {
			before := s.db.sales()
			got := s.sell(t, c, validSale, "X-Request-Id", "mine")
			wantAnswer(t, got, 201, publishedOK)
			wantEdgeHeaders(t, got)
			wantHeader(t, got, "Hoko-Attribution", "latest-lead")
			id := got.Header.Get("Hoko-Sale-Id")
			if !uuidv7.MatchString(id) {
				t.Fatalf("Hoko-Sale-Id is %q", id)
			}
			if n := s.db.count("SELECT count(*) FROM hoko.sales WHERE id = $1 AND amount = 12900", id); n != 1 || s.db.sales() != before+1 {
				t.Fatalf("%d rows of that id, %d sales after %d", n, s.db.sales(), before)
			}
			for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy"} {
				if got.Header.Get(name) == "" {
					t.Errorf("no %s", name)
				}
			}
			wantHeader(t, got, "RateLimit-Policy", `"default";q=600;w=60`)
		})

		refused := func(name string, status int, body string, send func() answer, also func(t *testing.T, got answer)) {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				before := s.db.sales()
				got := send()
				wantAnswer(t, got, status, body)
				wantEdgeHeaders(t, got)
				if also != nil {
					also(t, got)
				}
				if after := s.db.sales(); after != before {
					t.Fatalf("%d sales after %d", after, before)
				}
				wantAnswer(t, s.sell(t, c, validSale), 201, publishedOK) // the next request works
			})
		}
		header := func(name, value string) func(*testing.T, answer) {
			return func(t *testing.T, got answer) { t.Helper(); wantHeader(t, got, name, value) }
		}
		post := func(body string, headers ...string) func() answer {
			return func() answer { return s.call(t, c, "POST", "/api/track/sale", body, headers...) }
		}
		authorised := func(body string, headers ...string) func() answer {
			return post(body, append([]string{"Authorization", "Bearer " + fullKey}, headers...)...)
		}

		refused("negative amount", 400, body400, authorised(strings.Replace(validSale, "12900", "-100", 1)),
			header("Hoko-Reason", "amount: must be a non-negative integer"))
		refused("no lead and no click", 400, body400, authorised(strings.Replace(validSale, "customer_123", "stranger "+t.Name(), 1)), nil)
		refused("another workspace's click", 400, body400, authorised(strings.Replace(validSale, `{`, `{"clickId":"click_two",`, 1)), nil)
		refused("malformed idempotency key", 400, body400, authorised(validSale, "Idempotency-Key", "a", "Idempotency-Key", "b"), nil)
		refused("no key", 401, body401, post(validSale), header("WWW-Authenticate", "Bearer"))
		refused("another scheme", 401, body401, post(validSale, "Authorization", "Basic aGVsbG86d29ybGQ="), header("WWW-Authenticate", "Bearer"))
		refused("unknown key", 401, body401, post(validSale, "Authorization", "Bearer invalid_key"), header("WWW-Authenticate", `Bearer error="invalid_token"`))
		refused("missing scope", 403, body403, post(validSale, "Authorization", "Bearer "+readOnlyKey),
			header("WWW-Authenticate", `Bearer error="insufficient_scope", scope="conversionsWrite"`))
		refused("compressed body", 415, body415, authorised(validSale, "Content-Encoding", "gzip"), nil)
		refused("large body", 413, body413, authorised(validSale+strings.Repeat(" ", 64<<10)), nil)
		refused("early data", 425, body425, authorised(validSale, "Early-Data", "1"), nil)

		t.Run("201 64 KiB exactly", func(t *testing.T) {
			wantAnswer(t, s.sell(t, c, validSale+strings.Repeat(" ", 64<<10-len(validSale))), 201, publishedOK)
		})
		t.Run("201 bare key, and a scheme in any case", func(t *testing.T) {
			for _, value := range []string{fullKey, "bearer " + fullKey, "BEARER   " + fullKey} {
				wantAnswer(t, s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", value), 201, publishedOK)
			}
		})
		t.Run("201 again and 422 by idempotency key", func(t *testing.T) {
			key := "order of " + t.Name()
			first := s.sell(t, c, validSale, "Idempotency-Key", key)
			wantAnswer(t, first, 201, publishedOK)
			before := s.db.sales()
			again := s.sell(t, c, " "+validSale, "Idempotency-Key", key)
			wantAnswer(t, again, 201, first.body)
			wantHeader(t, again, "Idempotency-Replayed", "true")
			wantHeader(t, again, "Hoko-Sale-Id", first.Header.Get("Hoko-Sale-Id"))
			other := s.sell(t, c, strings.Replace(validSale, "12900", "12901", 1), "Idempotency-Key", key)
			wantAnswer(t, other, 422, body422)
			wantHeader(t, other, "RateLimit-Policy", `"default";q=600;w=60`)
			if after := s.db.sales(); after != before {
				t.Fatalf("%d sales after %d", after, before)
			}
		})
	})
}

func TestEveryErrorOfTheSiteUnderAPIIsInTheEnvelope(t *testing.T) {
	s := startStack(t, nil)
	c := s.client(t, "HTTP/2.0")
	s.site.Close()
	got := s.call(t, c, "GET", "/API/links", "")
	wantAnswer(t, got, 502, body502)
	wantEdgeHeaders(t, got)
	if page := s.call(t, c, "GET", "/page", ""); page.StatusCode != 502 || strings.Contains(page.body, "error") {
		t.Fatalf("a page got %d %q", page.StatusCode, page.body)
	}
}

func TestRateLimitIsPublished429(t *testing.T) {
	s := startStack(t, replace("limit 600/1m", "limit 1/1m"))
	c := s.client(t, "HTTP/1.1")
	first := s.sell(t, c, validSale)
	wantAnswer(t, first, 201, publishedOK)
	wantHeader(t, first, "X-RateLimit-Limit", "1")
	wantHeader(t, first, "X-RateLimit-Remaining", "0")
	denied := s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", fullKey) // the same bucket
	wantEdgeHeaders(t, denied)
	retryAfter := denied.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(retryAfter); err != nil || seconds < 1 || seconds > 60 {
		t.Fatalf("Retry-After is %q", retryAfter)
	}
	wantAnswer(t, denied, 429, `{"error":{"en":"Rate limit exceeded","ar":"تم تجاوز حد المعدل"},"retryAfter":`+retryAfter+`}`)
	wantHeader(t, denied, "RateLimit-Policy", `"default";q=1;w=60`)
	if sales := s.db.sales(); sales != 1 {
		t.Fatalf("%d sales", sales)
	}
	// a 403 costs no quota and has no limit headers
	forbidden := s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", readOnlyKey)
	wantAnswer(t, forbidden, 403, body403)
	if forbidden.Header.Get("X-RateLimit-Limit") != "" {
		t.Fatal("a 403 has limit headers")
	}
}

func TestASaleThatTheDatabaseCannotTakeIs503AndTheLogNamesTheCommand(t *testing.T) {
	s := startStack(t, nil)
	c := s.client(t, "HTTP/2.0")
	wantAnswer(t, s.sell(t, c, validSale), 201, publishedOK)
	s.db.exec("ALTER TABLE hoko.sales RENAME TO gone")
	got := s.sell(t, c, validSale)
	wantAnswer(t, got, 503, body503)
	wantEdgeHeaders(t, got)
	wantHeader(t, got, "Retry-After", "1")
	wantHeader(t, got, "RateLimit-Policy", `"default";q=600;w=60`)
	s.log.waitLine(t, s.ended, got.Header.Get("X-Request-Id"), "caddy hoko migrate")
	if page := s.call(t, c, "GET", "/page", ""); page.StatusCode != 200 {
		t.Errorf("a page got %d", page.StatusCode)
	}
	s.db.exec("ALTER TABLE hoko.gone RENAME TO sales")
	wantAnswer(t, s.sell(t, c, validSale), 201, publishedOK)
}

func TestKeysAppearInNoLogAndNoAdminAnswer(t *testing.T) {
	s := startStack(t, func(config string) string { return strings.Replace(config, "{\n", "{\n\tdebug\n", 1) })
	c := s.client(t, "HTTP/1.1")
	s.sell(t, c, validSale)
	s.sell(t, c, `{"customerName":"a value of the client's"}`)
	unknown := "hoko_unknown_key_of_somebody"
	s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", "Bearer "+unknown)
	s.call(t, c, "POST", "/api/track/sale", validSale, "Authorization", unknown)
	s.call(t, c, "POST", "/elsewhere", validSale, "Authorization", "Bearer "+unknown)
	all := s.log.String() + string(s.adminGet(t, "/config/")) + string(s.adminGet(t, "/hoko/")) + string(s.adminGet(t, "/metrics"))
	for _, secret := range []string{fullKey, unknown, s.dsn, "a value of the client's", "john@example.com"} {
		if i := strings.Index(all, secret); i >= 0 {
			t.Errorf("%q appears: …%s…", secret, all[max(0, i-300):min(len(all), i+100)])
		}
	}
	if !strings.Contains(s.log.String(), "customerExternalId") {
		t.Error("the log does not name the wrong member")
	}
}

func TestTheRequestIDOfAnAnswerLeadsToItsCauseInTheLog(t *testing.T) {
	s := startStack(t, nil)
	c := s.client(t, "HTTP/2.0")
	for _, wrong := range []struct{ key, body, cause string }{
		{"unknown", validSale, `"cause":"unknown"`},
		{readOnlyKey, validSale, `"cause":"missing_scopes"`},
		{fullKey, `{"customerExternalId":"a","amount":-5,"customerName":"x"}`, `"reason":"amount: must be a non-negative integer"`},
		{fullKey, validSale + strings.Repeat(" ", 64<<10), `"cause":"too_large"`},
	} {
		got := s.call(t, c, "POST", "/api/track/sale", wrong.body, "Authorization", wrong.key)
		s.log.waitLine(t, s.ended, got.Header.Get("X-Request-Id"), wrong.cause)
	}
}
