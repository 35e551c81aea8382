package failure

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// skews are the differences between a server's clock and the edge's.
var skews = []time.Duration{time.Hour, -time.Hour}

func TestClockSkew_OfRedisKeepsLimitsExact(t *testing.T) {
	for _, skew := range skews {
		t.Run(skew.String(), func(t *testing.T) {
			dsn := testenv.Database(t)
			harness.Seed(t, dsn)
			redisURL := testenv.RedisWithClockSkew(t, skew).URL()
			harness.WantClockSkew(t, redisURL, skew)
			// Only decisions of Redis are checked, so the edge must wait for it.
			s := startOutageStack(t, dsn, redisURL, harness.Replace("timeout 1s", "timeout 10s"))
			const costs = 24 * time.Hour / outageBurst // the time in which one request is refilled
			for i := range outageBurst + 3 {
				before := time.Now().Unix()
				got := s.Sell(t, s.client, harness.ValidSale)
				after := time.Now().Unix()
				admitted := i < outageBurst
				if admitted != (got.StatusCode == 201) || !admitted && got.StatusCode != 429 {
					t.Fatalf("request %d got %d", i, got.StatusCode)
				}
				reset, err := strconv.ParseInt(got.Header.Get("X-RateLimit-Reset"), 10, 64)
				testenv.NoError(t, err)
				// X-RateLimit-Reset is in time of the edge's clock, which also dates answers.
				// Earlier requests have been refilled a little.
				filled := int64(min(i+1, outageBurst)) * int64(costs.Seconds())
				if reset > after+filled+1 || reset < before+filled-int64(harness.HangGuard.Seconds()) {
					t.Errorf("request %d: X-RateLimit-Reset is %d s away, want %d", i, reset-after, filled)
				}
				wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
				if got.StatusCode == 429 && (err != nil || wait > int(costs.Seconds())) {
					t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
				}
			}
			if n := s.metric(decidedByRedis); n != outageBurst {
				t.Errorf("redis admitted %v", n)
			}
		})
	}
}

func TestClockSkew_OfPostgresDoesNotMatter(t *testing.T) {
	for _, skew := range skews {
		t.Run(skew.String(), func(t *testing.T) {
			dsn := testenv.PostgresWithClockSkew(t, skew).DSN("postgres")
			d := migrateAndSeed(t, dsn)
			for key, expires := range map[string]time.Duration{"expires_in_half_an_hour": 30 * time.Minute,
				"expired_half_an_hour_ago": -30 * time.Minute} {
				d.AddKey(key, "conversionsWrite")
				d.Exec("UPDATE hoko.api_keys SET expires_at = $1 WHERE id = $2", time.Now().Add(expires),
					harness.KeyID(key))
			}
			s := startOutageStack(t, dsn, testenv.Redis(t), manyCalls)
			sell := func(key string) harness.Answer {
				return s.SellAs(t, s.client, key, "Idempotency-Key", "a key")
			}
			sold := sell("expires_in_half_an_hour")
			harness.WantAnswer(t, sold, 201, harness.PublishedOK)
			harness.WantAnswer(t, sell("expired_half_an_hour_ago"), 401, harness.Body401)
			s.wantMetric(`hoko_auth_total{outcome="expired"}`, 1)

			// Postgres dates the row of the sale; the edge dates its ID.
			id := sold.Header.Get("Hoko-Sale-Id")
			made := time.Unix(uuid.MustParse(id).Time().UnixTime())
			if off := time.Since(made); off.Abs() > 10*time.Minute {
				t.Errorf("the sale's ID is %s old", off)
			}
			created := d.Count("SELECT extract(epoch FROM created_at)::bigint FROM hoko.sales WHERE id = $1", id)
			if off := time.Until(time.Unix(int64(created), 0)); (off - skew).Abs() > 10*time.Minute {
				t.Errorf("the sale's row is %s ahead, want %s", off, skew)
			}
			again := sell("expires_in_half_an_hour")
			harness.WantAnswer(t, again, 201, sold.Text)
			harness.WantHeader(t, again, "Idempotency-Replayed", "true")
			s.wantSite()
		})
	}
}

func TestDoctor_WarnsOfClockSkew(t *testing.T) {
	doctor := exec.Command(testenv.Edge(t), "hoko", "doctor")
	doctor.Env = append(os.Environ(), "DATABASE_URL="+testenv.PostgresWithClockSkew(t, time.Hour).DSN("postgres"),
		"REDIS_URL="+testenv.RedisWithClockSkew(t, -time.Hour).URL())
	said, _ := doctor.CombinedOutput() // the schema is missing too
	for _, server := range []string{"postgres", "redis"} {
		if want := server + ": its clock and this machine's are "; !strings.Contains(string(said), want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
}
