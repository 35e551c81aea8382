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
// has /api/links, which requires a key and goes to the site.
type outageStack struct {
	*harness.Edge
	t      testing.TB
	client *http.Client
	site   *harness.Site
}

// outageBurst is the burst of an outageStack's limit. During a test nothing is refilled.
const outageBurst = 10

// outageConfig shortens the timeouts and the time until cached keys are stale.
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

// migrateAndSeed prepares an empty database for an edge.
func migrateAndSeed(t testing.TB, dsn string) harness.DB {
	t.Helper()
	testenv.NoError(t, postgres.Migrate(t.Context(), dsn, nil))
	return harness.Seed(t, dsn)
}

func startOutageStack(t testing.TB, dsn, redisURL string, edit func(string) string) *outageStack {
	t.Helper()
	site := harness.StartSite(t, nil)
	e := harness.Start(t, harness.Settings{DatabaseURL: dsn, RedisURL: redisURL, Upstream: site.Upstream(),
		Edit: func(config string) string {
			if config = outageConfig(config); edit != nil {
				config = edit(config)
			}
			return config
		}})
	return &outageStack{e, t, e.Client(t, "HTTP/2.0"), site}
}

// manyCalls raises the limit, for tests that are not about limits.
var manyCalls = harness.Replace(fmt.Sprintf("limit %d/24h", outageBurst), "limit 100000/1m")

func (s *outageStack) metric(series string) float64 { s.t.Helper(); return s.Metric(s.t, series) }

// wantMetric fails the test unless a series has at least this value.
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

func (s *outageStack) until(what string, holds func() bool) {
	s.t.Helper()
	testenv.Until(s.t, what, holds)
}

// wantSite fails the test unless a page of the site, which needs neither server, is served.
func (s *outageStack) wantSite() {
	s.t.Helper()
	if got := s.Call(s.t, s.client, "GET", "/page", ""); got.StatusCode != 200 || got.Text != "site GET /page" {
		s.t.Errorf("a page got %d %s", got.StatusCode, got.Text)
	}
}

func (s *outageStack) link(key string) harness.Answer {
	s.t.Helper()
	return s.Call(s.t, s.client, "GET", "/api/links", "", "Authorization", "Bearer "+key)
}

// want503 fails the test unless an answer is a complete 503 of the edge.
func (s *outageStack) want503(got harness.Answer) {
	s.t.Helper()
	harness.WantAnswer(s.t, got, 503, harness.Body503)
	harness.WantEdgeHeaders(s.t, got)
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || seconds < 1 {
		s.t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
}

// ask sends the sale of an amount. The amount determines the Idempotency-Key.
func (s *outageStack) ask(amount int) harness.Answer {
	s.t.Helper()
	body := strings.Replace(harness.ValidSale, "12900", strconv.Itoa(amount), 1)
	return s.Sell(s.t, s.client, body, "Idempotency-Key", "sale of "+strconv.Itoa(amount))
}

// asked holds the status of each sale, by amount: 201, 503 or 504.
type asked map[int]int

// askInOutage sends the sale of the next amount and checks that the answer is valid in an outage.
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
		s.t.Fatalf("during the outage: %d %s", got.StatusCode, got.Text)
	}
	return got
}

const body504 = `{"error":{"en":"Gateway timeout","ar":"انتهت مهلة البوابة"}}`

// verify checks, after an outage, that all answers were true and that every sale can be recorded
// once.
func (s *outageStack) verify(d harness.DB, answers asked) {
	s.t.Helper()
	s.until("a sale is recorded again", func() bool { return s.ask(1).StatusCode == 201 })
	const rows = "SELECT count(*) FROM hoko.sales WHERE amount = $1"
	for amount, status := range answers {
		if n := d.Count(rows, amount); status == 503 && n != 0 || status == 201 && n != 1 || n > 1 {
			s.t.Errorf("a sale that was answered %d is recorded %d times", status, n)
		}
	}
	for amount, status := range answers {
		harness.WantStatus(s.t, s.ask(amount), 201)
		if n := d.Count(rows, amount); n != 1 {
			s.t.Errorf("a sale that was answered %d and sent again is recorded %d times", status, n)
		}
	}
}
