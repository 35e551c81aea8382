package upgrade

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// An edge keeps recording sales and honoring revocations before, while and after the schema of the
// previous version is migrated. Another session makes the migration wait and try again.
func TestMigrate_WhileSalesRun(t *testing.T) {
	dsn, site := testenv.EmptyDatabase(t), harness.StartSite(t, nil)
	harness.MigrateTo(t, dsn, postgres.LatestVersion()-1)
	db := harness.Seed(t, dsn)
	db.ApplyRole()
	e := harness.Start(t, harness.Settings{DatabaseURL: dsn + "&role=hoko_edge", RedisURL: testenv.Redis(t),
		Upstream: site.Upstream(), Edit: strings.NewReplacer("ttl 60s", "ttl 1h", "\tlog\n", "").Replace})
	s := &harness.Stack{Edge: e, DB: db, Site: site, DSN: dsn}
	c := s.Client(t, "HTTP/2.0")
	testenv.Until(t, "the edge listens", func() bool { return e.Listening(t, true) })

	revoked := 0
	var sold atomic.Int64
	revoke := func() { // only a notification makes the edge look a key up again
		t.Helper()
		key := fmt.Sprint("hoko_key_", revoked)
		revoked++
		db.AddKey(key, "conversionsWrite")
		harness.WantStatus(t, s.SellAs(t, c, key), 201)
		sold.Add(1)
		db.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1", harness.KeyID(key))
		testenv.Until(t, "the key is rejected", func() bool {
			status := s.SellAs(t, c, key).StatusCode
			if status == 201 {
				sold.Add(1)
			}
			return status == 401
		})
	}
	sales := func(atLeast int64) {
		t.Helper()
		before := sold.Load()
		testenv.Until(t, "more sales are recorded", func() bool { return sold.Load() >= before+atLeast })
	}

	stop, sellers := make(chan struct{}), sync.WaitGroup{}
	for i := range 4 {
		client := s.Client(t, []string{"HTTP/1.1", "HTTP/2.0"}[i%2])
		sellers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// every other sale changes its customer
				body := strings.Replace(harness.ValidSale, "John Doe", fmt.Sprint("John ", n/2), 1)
				if got := s.Sell(t, client, body, "Idempotency-Key", fmt.Sprint(i, "-", n)); got.StatusCode != 201 {
					t.Errorf("answered %d: %s", got.StatusCode, got.Text)
					return
				}
				sold.Add(1)
			}
		})
	}
	sales(20)
	revoke()

	other := harness.Connect(t, dsn)
	other.Exec("BEGIN; SELECT FROM hoko.schema_version")
	migrated := make(chan error, 1)
	go func() {
		out, err := s.Caddy(t, "hoko", "migrate", "--database-url", dsn)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		migrated <- err
	}()
	testenv.Until(t, "the migration waits", func() bool {
		return db.Count("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'") > 0
	})
	revoke()
	sales(20)
	other.Exec("COMMIT")
	for waiting := true; waiting; {
		revoke()
		select {
		case err := <-migrated:
			testenv.NoError(t, err)
			waiting = false
		default:
		}
	}
	db.Exec(harness.ReadRoot(t, "docs/role.sql"))
	revoke()
	sales(20)
	close(stop)
	sellers.Wait()
	db.WantSales(t, int(sold.Load()))
	if version := db.Count("SELECT version FROM hoko.schema_version"); int32(version) != postgres.LatestVersion() {
		t.Errorf("the schema has version %d", version)
	}
	e.Signal(syscall.SIGTERM)
	e.AwaitEnd(t)
	if n := db.Count("SELECT count(*) FROM hoko.key_usage"); n != revoked+1 {
		t.Errorf("the last use of %d keys is recorded, want %d", n, revoked+1)
	}
}
