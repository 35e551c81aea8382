package doctor

import (
	"bytes"
	"strings"
	"testing"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
)

// checkConnections runs the check alone, as a role.
func checkConnections(t *testing.T, o Options) string {
	t.Helper()
	c := checks{Options: o}
	c.inspect(testenv.Guarded(t), "connections", addressFix, c.connections)
	var printed bytes.Buffer
	c.Write(&printed, false)
	return printed.String()
}

func TestConnections_ComparesWithEachLimit(t *testing.T) {
	server := testenv.PostgresWith(t, map[string]string{
		"max_connections": "50", "superuser_reserved_connections": "4"})
	db := testenv.Connect(t, server.DSN("postgres"))
	db.Exec("CREATE ROLE edge LOGIN")
	dsn := server.DSN("postgres") + "&user=edge"
	testenv.Until(t, "the session that has waited for the server is gone", func() bool {
		return db.Count("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") == 1
	})
	const command = ", and a command needs one, but "
	for _, tc := range []struct {
		name, sql string
		o         Options
		want      []string
	}{
		{"enough", "", Options{}, []string{
			"ok    connections: an edge opens up to 16 connections, and Postgres allows 45"}},
		{"just enough", "", Options{MaxConns: 22, Edges: 2}, []string{"ok    connections: 2 edges open up to 44 "}},
		{"many edges", "", Options{Edges: 3}, []string{
			"warn  connections: 3 edges open up to 48 connections" + command + "max_connections of the server " +
				"leaves 45: 50, less 4 that are reserved and 1 that others use",
			"fix: raise max_connections, or lower max_conns"}},
		{"max_conns of the configuration", "", Options{MaxConns: 45}, []string{
			"warn  connections: an edge opens up to 45 "}},
		{"a limited role", "ALTER ROLE edge CONNECTION LIMIT 16", Options{}, []string{
			command + "the limit of role edge leaves 16: ",
			"fix: ALTER ROLE edge CONNECTION LIMIT 17, or lower max_conns"}},
		{"a limited database", "ALTER DATABASE postgres CONNECTION LIMIT 17", Options{}, []string{
			command + "the limit of database postgres leaves 16: 17, less 0 that are reserved and 1 that others use",
			"fix: ALTER DATABASE postgres CONNECTION LIMIT 18, or lower max_conns"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.sql != "" {
				db.Exec(tc.sql)
				defer db.Exec("ALTER ROLE edge CONNECTION LIMIT -1; ALTER DATABASE postgres CONNECTION LIMIT -1")
			}
			tc.o.DSN = dsn
			wantTexts(t, checkConnections(t, tc.o), tc.want...)
		})
	}

	t.Run("a superuser has only the limit of the server", func(t *testing.T) {
		db.Exec("ALTER DATABASE postgres CONNECTION LIMIT 3")
		defer db.Exec("ALTER DATABASE postgres CONNECTION LIMIT -1")
		found := checkConnections(t, Options{DSN: server.DSN("postgres")})
		wantTexts(t, found, "ok    connections: ", "Postgres allows 49")
	})
	t.Run("edges that run are not others", func(t *testing.T) {
		for range 30 {
			conn, err := postgres.Connect(testenv.Guarded(t), dsn, nil)
			testenv.NoError(t, err)
			defer postgres.CloseConn(conn)
		}
		wantTexts(t, checkConnections(t, Options{DSN: dsn}), "ok    connections: ", "Postgres allows 45")
		db.Exec("ALTER ROLE edge CONNECTION LIMIT 33")
		wantTexts(t, checkConnections(t, Options{DSN: dsn, Edges: 2}), "ok    connections: ", "Postgres allows 33")
	})
}

// The relay changes the process ID that Postgres tells its client, as PgBouncer does.
func TestConnections_RecognizesAPooler(t *testing.T) {
	through, dsn := testenv.Relay(t, testenv.Database(t))
	keyData := []byte{'K', 0, 0, 0, 12}
	through.Filters = func([]byte) (toServer, toClient relay.Filter) {
		return nil, func(data []byte, _ func()) []byte {
			if i := bytes.Index(data, keyData); i >= 0 {
				data[i+len(keyData)+3] ^= 1
			}
			return data
		}
	}
	testenv.NoError(t, through.Open())
	got := checkConnections(t, Options{DSN: dsn, Edges: 2})
	wantTexts(t, got, "ok    connections: 2 edges open up to 32 connections to a pooler",
		"its pool should have 14 for each edge")
	if strings.Contains(got, "left") {
		t.Errorf("it compares with the server: %s", got)
	}
	db, err := inspect.Open(testenv.Guarded(t), testenv.Database(t))
	testenv.NoError(t, err)
	defer db.Close()
	if pooled, err := db.Pooled(testenv.Guarded(t)); pooled || err != nil {
		t.Errorf("without a pooler: %v %v", pooled, err)
	}
}
