package pgtest

import (
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// OwnServer starts a separate Postgres for the test, whose database contains the Catalog.
func OwnServer(t *testing.T) (server *testenv.OwnPostgres, dsn string, db testenv.DB) {
	t.Helper()
	server = testenv.Postgres(t)
	dsn = server.DSN("postgres")
	testenv.NoError(t, postgres.Migrate(testenv.Guarded(t), dsn, nil))
	db = testenv.Connect(t, dsn)
	db.Exec(Catalog)
	return server, dsn, db
}

// SynchronousStandbys returns a function that puts synchronous_standby_names into effect.
func SynchronousStandbys(t *testing.T, dsn string) func(standbys string) {
	db := testenv.Connect(t, dsn)
	return func(standbys string) {
		t.Helper()
		db.Exec("ALTER SYSTEM SET synchronous_standby_names = '" + standbys + "'")
		db.Exec("SELECT pg_reload_conf()")
		testenv.Until(t, "the configuration is read", func() bool {
			return testenv.Value[string](testenv.Connect(t, dsn), "SHOW synchronous_standby_names") == standbys
		})
		if standbys != "" {
			testenv.Until(t, "commits wait for the standbys", func() bool { return commitWaits(t, dsn, db) })
		}
	}
}

// commitWaits reports whether a commit waits for standbys. That starts when the checkpointer has
// read the configuration, not only a session.
func commitWaits(t *testing.T, dsn string, db testenv.DB) bool {
	t.Helper()
	probe := testenv.Connect(t, dsn)
	defer probe.Close()
	pid, ctx, done := testenv.Value[int](probe, "SELECT pg_backend_pid()"), testenv.Guarded(t), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = probe.Conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'probe', '')")
	}()
	for {
		if db.Count("SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", pid) > 0 {
			db.Exec("SELECT pg_cancel_backend($1)", pid)
			<-done
			return true
		}
		select {
		case <-done:
			return false
		default:
		}
	}
}
