package adopting

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// A database that has adopted the edge in an earlier version migrates without handwork. An edge
// that is upgraded before the schema keeps recording, if the version suffices for sales.
func TestUpgrade_OverASite(t *testing.T) {
	for version := int32(1); version < postgres.LatestVersion(); version++ {
		for name, edit := range map[string]func(string) string{
			"all seven": nil, "all but leads and sales": withoutLeadsAndSales,
		} {
			t.Run(fmt.Sprintf("from version %d over %s", version, name), func(t *testing.T) {
				upgrade(t, version, edit)
			})
		}
	}
}

func upgrade(t *testing.T, version int32, edit func(string) string) {
	a, dsn, site := readAdoption(t), testenv.EmptyDatabase(t), harness.StartSite(t, nil)
	harness.MigrateTo(t, dsn, version)
	d := a.apply(t, dsn, edit)
	e := harness.Start(t, harness.Settings{DatabaseURL: dsn + "&role=hoko_edge", RedisURL: testenv.Redis(t),
		Upstream: site.Upstream()})
	s := &harness.Stack{Edge: e, DB: d, Site: site, DSN: dsn}
	c := s.Client(t, "HTTP/2.0")
	sell := func(want int) {
		t.Helper()
		harness.WantStatus(t, s.Sell(t, c, saleTo("new", "New", `,"clickId":"`+visitID+`"`)), want)
	}
	if version < postgres.RequiredVersion {
		sell(503)
	} else {
		sell(201)
		e.Log.Wait(t, "the database schema is older than this edge", "caddy hoko migrate")
	}
	if version == 2 {
		e.Log.Wait(t, "hoko_idempotency_cleanup_timestamp_seconds is not updated", "docs/role.sql")
	}
	for _, command := range [][]string{{"migrate"}, {"idempotency", "clean"}} {
		args := append([]string{"hoko"}, append(command, "--database-url", dsn)...)
		if out, err := s.Caddy(t, args...); err != nil {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
		testenv.Until(t, "sales are recorded", func() bool {
			return s.Sell(t, c, saleTo("new", "New", `,"clickId":"`+visitID+`"`)).StatusCode == 201
		})
	}
	d.Exec(harness.ReadRoot(t, "docs/role.sql"))
	out, err := s.Caddy(t, "hoko", "doctor")
	if err != nil || strings.Contains(out, fmt.Sprintf(" schema: version %d", version)) {
		t.Errorf("%v\n%s", err, out)
	}
	sell(201)
	e.Signal(syscall.SIGTERM)
	e.AwaitEnd(t)
	if n := d.Count("SELECT count(*) FROM hoko.key_usage WHERE key_id = '1'"); n != 1 {
		t.Errorf("the last use of %d keys is recorded, want 1", n)
	}
}
