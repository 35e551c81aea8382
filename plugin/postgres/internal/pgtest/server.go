package pgtest

import (
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

// OwnServer starts a Postgres of the test's own with the catalogue.
func OwnServer(t *testing.T) (server *testenv.OwnPostgres, dsn string, db testenv.DB) {
	t.Helper()
	server = testenv.Postgres(t)
	dsn = server.DSN("postgres")
	if err := postgres.Migrate(testenv.Guarded(t), dsn, nil); err != nil {
		t.Fatal(err)
	}
	db = testenv.Connect(t, dsn)
	db.Exec(Catalogue)
	return server, dsn, db
}

// Synchronizing returns a function that names the standbys which commits wait for.
func Synchronizing(t *testing.T, dsn string) func(standbys string) {
	db := testenv.Connect(t, dsn)
	return func(standbys string) {
		t.Helper()
		db.Exec("ALTER SYSTEM SET synchronous_standby_names = '" + standbys + "'")
		db.Exec("SELECT pg_reload_conf()")
		testenv.Until(t, "the configuration is read", func() bool {
			return testenv.Value[string](testenv.Connect(t, dsn), "SHOW synchronous_standby_names") == standbys
		})
	}
}
