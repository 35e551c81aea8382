package fastify_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
)

// seedSQL inserts the rows of the published example. Limits are per day, so that
// X-RateLimit-Remaining does not change between the two requests of a case.
const seedSQL = `
INSERT INTO hoko.workspaces (id) VALUES ('ws_1');
INSERT INTO hoko.api_keys (workspace_id, key_hash, scopes, rate_limit, rate_period) VALUES
	('ws_1', sha256('full'), '{linksRead,conversionsWrite}', 600, '1 day'),
	('ws_1', sha256('reader'), '{linksRead}', 600, '1 day'),
	('ws_1', sha256('slow'), '{conversionsWrite}', 1, '1 day');
INSERT INTO hoko.api_keys (workspace_id, key_hash, scopes, revoked_at, expires_at) VALUES
	('ws_1', sha256('revoked'), '{conversionsWrite}', now(), NULL),
	('ws_1', sha256('expired'), '{conversionsWrite}', NULL, now());
INSERT INTO hoko.links (id, workspace_id, url, short_url, collection_id, partner_id, tenant_id, external_id, created_at)
VALUES ('link_xyz', 'ws_1', 'https://example.com', 'https://hoko.to/abc123', '550e8400-e29b-41d4-a716-446655440000',
	'partner_123', 'tenant_456', 'ext_789', '2024-01-01T00:00:00Z');
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image, utm, created_at)
VALUES ('link_full', 'ws_1', 'https://example.com/?a=1&b=<ä>', 'https://hoko.to/full?x=1#top', 'Tïtle', 'A "title"',
	'https://example.com/i.png', '{"medium": "m", "source": "s", "term": "", "other": "o"}',
	'2024-01-02T03:04:05.678901Z');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES
	('click_abc123', 'ws_1', 'link_xyz'), ('click_full', 'ws_1', 'link_full');
INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES
	('customer_123', 'ws_1', 'customer_123', 'John Doe');
INSERT INTO hoko.leads (workspace_id, customer_id, click_id, link_id, event_name) VALUES
	('ws_1', 'customer_123', 'click_abc123', 'link_xyz', 'Sign up');
`

const edgeCaddyfile = `{
	admin off
	auto_https off
	persist_config off
	hoko {
		postgres {env.DATABASE_URL}
		redis {env.REDIS_URL} {
			timeout 10s
		}
	}
}
http://127.0.0.1:{$PORT} {
	route {
		api_key_auth {
			scopes conversionsWrite
		}
		redis_rate_limit {
			limit 600/1m
		}
		track_sale
	}
	handle_errors {
		api_errors
	}
}
`

// published is the request in docs/api.md.
const published = `{"customerExternalId": "customer_123", "amount": 12900, "currency": "usd",
	"eventName": "Invoice paid", "customerName": "John Doe", "customerEmail": "john@example.com"}`

// with returns the published request with one more member.
func with(member string) string { return strings.TrimSuffix(published, "}") + ", " + member + "}" }

// minimal returns a request with one customer and the given members.
func minimal(members string) string { return `{"customerExternalId": "customer_123", ` + members + `}` }

// cases are sent in this order to both servers. Their states depend on the earlier ones.
var cases = []struct {
	name                   string
	status                 int
	key, idempotency, body string
}{
	{"published", 201, "Bearer full", "", published},
	{"bare key", 201, "full", "", published},
	{"metadata", 201, "Bearer full", "",
		with(`"metadata": {"invoiceId": "inv_123", "lines": [1, {"a": null}], "text": "<ä&>"}`)},
	{"defaults", 201, "Bearer full", "", `{"customerExternalId": "customer_123", "amount": 0.0, "currency": "EUR",
		"customerName": "", "eventName": null, "metadata": null}`},
	{"lead event", 201, "Bearer full", "", with(`"leadEventName": "Sign up"`)},
	{"click", 201, "Bearer full", "", with(`"clickId": "click_full", "leadEventName": "None"`)},
	{"new customer", 201, "Bearer full", "", `{"customerExternalId": "new", "amount": 1, "customerName": "New",
		"clickId": "click_full", "customerAvatar": "https://example.com/a.png"}`},
	{"idempotency key", 201, "Bearer full", "key", with(`"metadata": {"b": 1, "a": 2}`)},
	{"replayed", 201, "Bearer full", "key", with(`"metadata": {"a": 2, "b": 1}, "unknown": 1`)},
	{"idempotency key with another request", 422, "Bearer full", "key", published},
	{"malformed idempotency key", 400, "Bearer full", strings.Repeat("k", 256), published},
	{"negative amount", 400, "Bearer full", "", minimal(`"amount": -100, "customerName": "John Doe"`)},
	{"amount as text", 400, "Bearer full", "", minimal(`"amount": "100", "customerName": "John Doe"`)},
	{"no name", 400, "Bearer full", "", minimal(`"amount": 100`)},
	{"invalid email", 400, "Bearer full", "", minimal(`"amount": 100, "customerName": "", "customerEmail": "john"`)},
	{"avatar is not HTTP", 400, "Bearer full", "",
		minimal(`"amount": 100, "customerName": "", "customerAvatar": "ftp://a.example"`)},
	{"NUL", 400, "Bearer full", "", minimal(`"amount": 100, "customerName": "\u0000"`)},
	{"array", 400, "Bearer full", "", `[` + published + `]`},
	{"invalid JSON", 400, "Bearer full", "", `{`},
	{"unattributed", 400, "Bearer full", "", `{"customerExternalId": "unknown", "amount": 100, "customerName": "A"}`},
	{"unknown click", 400, "Bearer full", "", with(`"clickId": "none"`)},
	{"too large", 413, "Bearer full", "", with(`"metadata": {"a": "` + strings.Repeat("a", 65<<10) + `"}`)},
	{"no key", 401, "", "", published},
	{"unknown key", 401, "Bearer unknown", "", published},
	{"revoked key", 401, "Bearer revoked", "", published},
	{"expired key", 401, "Bearer expired", "", published},
	{"another scheme", 401, "Basic full", "", published},
	{"missing scope", 403, "Bearer reader", "", published},
	{"within the limit", 201, "Bearer slow", "", published},
	{"over the limit", 429, "Bearer slow", "", published},
}

func TestService_SameResponsesAsTheEdge(t *testing.T) {
	edge, service := startEdge(t), startService(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := send(t, edge, c.key, c.idempotency, c.body)
			if want.status != c.status {
				t.Fatalf("the edge sends %d, want %d\n%s", want.status, c.status, want)
			}
			if got := send(t, service, c.key, c.idempotency, c.body); got != want {
				t.Errorf("the service sends\n%s\nthe edge:\n%s", got, want)
			}
		})
	}
}

// response is the part of a response that must be equal.
type response struct {
	status        int
	headers, body string
}

func (r response) String() string { return fmt.Sprintf("%d\n%s%s", r.status, r.headers, r.body) }

var (
	sameValue = []string{"Content-Type", "Cache-Control", "WWW-Authenticate", "Hoko-Attribution",
		"Idempotency-Replayed", "X-RateLimit-Limit", "X-RateLimit-Remaining", "RateLimit-Policy"}
	anyValue = []string{"X-Request-Id", "Hoko-Sale-Id", "X-RateLimit-Reset", "RateLimit", "Retry-After"}

	// varying matches generated IDs of customers, and times.
	varying = regexp.MustCompile(`"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}","name"|"retryAfter":86(400|3\d\d)\b`)
)

func send(t *testing.T, s *server, key, idempotency, body string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(testenv.Guarded(t), "POST", s.url+"/api/track/sale", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{"Authorization": key, "Idempotency-Key": idempotency} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var headers strings.Builder
	for _, name := range sameValue {
		fmt.Fprintf(&headers, "%s: %s\n", name, res.Header.Get(name))
	}
	for _, name := range anyValue {
		fmt.Fprintf(&headers, "%s: %t\n", name, res.Header.Get(name) != "")
	}
	return response{res.StatusCode, headers.String(), varying.ReplaceAllString(string(text), "…")}
}

func startEdge(t *testing.T) *server {
	t.Helper()
	caddyfile := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(caddyfile, []byte(edgeCaddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, databases(t), testenv.Edge(t), "run", "--config", caddyfile)
	s.log.Wait(t, "serving initial configuration")
	return s
}

func startService(t *testing.T, env ...string) *server {
	t.Helper()
	s := startServer(t, append(databases(t), env...), "node", "index.js")
	s.log.Wait(t, "listening")
	return s
}

// databases returns the environment variables for a new database with the seed and a new Redis.
func databases(t *testing.T) []string {
	t.Helper()
	dsn := testenv.Database(t)
	statement, err := os.ReadFile("../pgbench/sale.sql")
	if err != nil {
		t.Fatal(err)
	}
	testenv.Connect(t, dsn).Exec(string(statement) + seedSQL)
	return []string{"DATABASE_URL=" + dsn, "REDIS_URL=" + testenv.Redis(t), "XDG_DATA_HOME=" + t.TempDir()}
}
