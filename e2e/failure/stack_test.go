package failure

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// outageStack is an edge whose Postgres and Redis a test may break. Besides the shipped routes it
// has /api/links, a page of the site behind a key and a limit.
type outageStack struct {
	*harness.Edge
	t      testing.TB
	client *http.Client
	site   *harness.Site
}

// outageBurst is what the limit of an outageStack admits at once; what flows in during a test is
// nothing.
const outageBurst = 10

// outageConfig makes time-outs short and keys stale soon.
func outageConfig(config string) string {
	for from, to := range map[string]string{
		"timeout 10s":     "timeout 1s",
		"ttl 60s":         "ttl 1s",
		"guesses 60/1m":   "guesses 6000/1m\n\t\tsales {\n\t\t\ttimeout 3s\n\t\t}",
		"limit 600/1m":    fmt.Sprintf("limit %d/24h", outageBurst),
		"\treverse_proxy": "\tapi_key_auth /api/links\n\t\treverse_proxy",
	} {
		config = strings.Replace(config, from, to, 1)
	}
	return config
}

// migrateAndSeed makes a database of a server of the test's own what an edge expects.
func migrateAndSeed(t testing.TB, dsn string) harness.DB {
	t.Helper()
	if err := postgres.Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	return harness.Seed(t, dsn)
}

func startOutageStack(t testing.TB, dsn, redisURL string, edit func(string) string) *outageStack {
	t.Helper()
	site := harness.StartSite(t, nil)
	e := harness.Start(t, harness.Settings{DatabaseURL: dsn, RedisURL: redisURL, Upstream: site.Upstream(), Edit: func(config string) string {
		if config = outageConfig(config); edit != nil {
			config = edit(config)
		}
		return config
	}})
	return &outageStack{e, t, e.Client(t, "HTTP/2.0"), site}
}

// manyCalls is for tests that are not about limits.
var manyCalls = harness.Replace(fmt.Sprintf("limit %d/24h", outageBurst), "limit 100000/1m")

// metric is the value of a series, written as on the admin endpoint.
func (s *outageStack) metric(series string) float64 { s.t.Helper(); return s.Metric(s.t, series) }

// wantMetric fails unless a series has at least this value.
func (s *outageStack) wantMetric(series string, least float64) {
	s.t.Helper()
	if got := s.metric(series); got < least {
		s.t.Errorf("%s is %v, want at least %v", series, got, least)
	}
}

func (s *outageStack) logs(texts ...string) {
	s.t.Helper()
	s.Log.Wait(s.t, texts...)
}

// until polls until the condition holds.
func (s *outageStack) until(what string, holds func() bool) {
	s.t.Helper()
	testenv.Until(s.t, what, holds)
}

// wantSite: a page of the site, which depends on neither server.
func (s *outageStack) wantSite() {
	s.t.Helper()
	if got := s.Call(s.t, s.client, "GET", "/page", ""); got.StatusCode != 200 || got.Text != "site GET /page" {
		s.t.Errorf("a page got %d %s", got.StatusCode, got.Text)
	}
}

// link is a call that the site answers, with a key.
func (s *outageStack) link(key string) harness.Answer {
	s.t.Helper()
	return s.Call(s.t, s.client, "GET", "/api/links", "", "Authorization", "Bearer "+key)
}

// want503 fails unless an answer is what an outage looks like to a caller.
func (s *outageStack) want503(got harness.Answer) {
	s.t.Helper()
	harness.WantAnswer(s.t, got, 503, harness.Body503)
	harness.WantEdgeHeaders(s.t, got)
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || seconds < 1 {
		s.t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
}

// ask sends a sale of an amount that is told again by its Idempotency-Key.
func (s *outageStack) ask(amount int) harness.Answer {
	s.t.Helper()
	body := strings.Replace(harness.ValidSale, "12900", strconv.Itoa(amount), 1)
	return s.Sell(s.t, s.client, body, "Idempotency-Key", "sale of "+strconv.Itoa(amount))
}

// asked is what sales of an outage were answered: 201, 503 or 504, by amount.
type asked map[int]int

// askInOutage sends a sale, and checks that its answer is one of an outage.
func (s *outageStack) askInOutage(answers asked) harness.Answer {
	s.t.Helper()
	amount := 1000 + len(answers)
	got := s.ask(amount)
	answers[amount] = got.StatusCode
	switch got.StatusCode {
	case 201:
	case 503:
		s.want503(got)
	case 504:
		harness.WantAnswer(s.t, got, 504, body504)
		harness.WantEdgeHeaders(s.t, got)
		if !harness.UUIDv7.MatchString(got.Header.Get("Hoko-Sale-Id")) {
			s.t.Errorf("a 504 names the sale %q", got.Header.Get("Hoko-Sale-Id"))
		}
	default:
		s.t.Fatalf("an outage is answered %d %s", got.StatusCode, got.Text)
	}
	return got
}

const body504 = `{"error":{"en":"Gateway timeout","ar":"انتهت مهلة البوابة"}}`

// settle checks, once all is well again, that what was answered is true, and that each sale, asked
// for again, is there once.
func (s *outageStack) settle(d harness.DB, answers asked) {
	s.t.Helper()
	s.until("a sale is recorded again", func() bool { return s.ask(1).StatusCode == 201 })
	const rows = "SELECT count(*) FROM hoko.sales WHERE amount = $1"
	for amount, status := range answers {
		if n := d.Count(rows, amount); status == 503 && n != 0 || status == 201 && n != 1 || n > 1 {
			s.t.Errorf("a sale that was answered %d is there %d times", status, n)
		}
	}
	for amount, status := range answers {
		if got := s.ask(amount); got.StatusCode != 201 {
			s.t.Errorf("a sale that was answered %d is then answered %d %s", status, got.StatusCode, got.Text)
		}
		if n := d.Count(rows, amount); n != 1 {
			s.t.Errorf("a sale that was answered %d, and asked for again, is there %d times", status, n)
		}
	}
}
