package testenv

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/devserver"
	"hoko.to/edge/plugin/postgres"
)

// Database is the DSN of a database of the test's own with the current schema,
// on a server that the package's tests share. It is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	return sharedPostgres.database(t, templateDatabase)
}

// EmptyDatabase is Database without the schema.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	return sharedPostgres.database(t, "template0")
}

// OwnPostgres is a Postgres of a test's own, which it may stop, kill and start again.
type OwnPostgres struct {
	*devserver.Postgres
	options devserver.PostgresOptions
}

// Postgres starts a server of the test's own, without the schema. That takes a
// second: a test that only needs data takes a Database.
func Postgres(t testing.TB) *OwnPostgres {
	t.Helper()
	s := &OwnPostgres{options: postgresOptions(serverDir(t))}
	s.Start(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

// Start starts the server again, with its data and at its old address.
func (s *OwnPostgres) Start(t testing.TB) {
	t.Helper()
	server, err := devserver.StartPostgres(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	s.Postgres = server
}

// postgresOptions has room for the pools of many edges.
func postgresOptions(dir string) devserver.PostgresOptions {
	return devserver.PostgresOptions{Dir: dir, Settings: map[string]string{"max_connections": "300"}}
}

const templateDatabase = "hoko_template"

// sharedPostgres is the server of all tests of this binary. It starts with the first that asks.
var sharedPostgres shared

type shared struct {
	once      sync.Once
	server    *devserver.Postgres
	err       error
	databases atomic.Int64
}

func (s *shared) database(t testing.TB, template string) string {
	t.Helper()
	s.once.Do(func() { s.server, s.err = startShared() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if err := s.exec(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.exec(fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Error(err)
		}
	})
	return s.server.DSN(name)
}

func (s *shared) exec(sql string) error {
	ctx, cancel := guarded()
	defer cancel()
	return execute(ctx, s.server, sql)
}

func (s *shared) stop() {
	if s.server != nil {
		s.server.Stop()
	}
}

// startShared starts the server and makes the database that all others are copies of.
func startShared() (*devserver.Postgres, error) {
	ctx, cancel := guarded()
	defer cancel()
	dir, err := scratch.next()
	if err != nil {
		return nil, err
	}
	server, err := devserver.StartPostgres(ctx, postgresOptions(dir))
	if err != nil {
		return nil, err
	}
	if err := execute(ctx, server, "CREATE DATABASE "+templateDatabase); err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, server.DSN(templateDatabase), nil); err != nil {
		return nil, fmt.Errorf("migrate the template: %w", err)
	}
	return server, nil
}

func execute(ctx context.Context, server *devserver.Postgres, sql string) error {
	conn, err := pgx.Connect(ctx, server.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
