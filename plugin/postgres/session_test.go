package postgres_test

import (
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// The database's setting ends an idle control session; the edge's sessions last longer.
func TestIdleSessionTimeout_EndsNoSession(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec("SET idle_session_timeout = 0")
	for _, setting := range []string{"idle_session_timeout", "idle_in_transaction_session_timeout"} {
		shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " SET " + setting + " = '500ms'")
	}
	c := connectClients(t, shop.DSN)
	c.wantWorking(t)
	const sessions = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hoko-edge'"
	const minSessions = 1 + postgres.SlowLaneConns + 1 + 1 // writer, slow lane, listener, lookup
	testenv.Until(t, "all are connected", func() bool { return shop.Count("SELECT count(*) "+sessions) >= minSessions })
	before := testenv.Value[[]int32](shop.DB, "SELECT array_agg(pid) "+sessions)

	pid := shop.Another().Conn.PgConn().PID()
	testenv.Until(t, "the control session has ended", func() bool {
		return shop.Count("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
	})
	if n := shop.Count("SELECT count(*) "+sessions+" AND pid = ANY ($1)", before); n != len(before) {
		t.Errorf("of %d sessions, %d are left:\n%s", len(before), n, c.log.String())
	}
}

func TestReadOnlyRole_IsNamed(t *testing.T) {
	shop := pgtest.OpenShop(t)
	const readOnly = "default_transaction_read_only"
	shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " SET " + readOnly + " = on")
	for _, dsn := range []string{shop.DSN, shop.DSN + "&target_session_attrs=read-write"} {
		_, err := pgtest.OpenStore(t, dsn).Record(testenv.Guarded(t), pgtest.Sell("k"))
		if err == nil || !strings.Contains(err.Error(), readOnly) {
			t.Errorf("error %v, want one that names %s", err, readOnly)
		}
	}
}
