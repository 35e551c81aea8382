package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/internal/devserver"
	"hoko.to/edge/plugin/postgres"
)

// Database creates a database with the current schema and returns its DSN. It is on a server that
// the package's tests share, and is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	return sharedPostgres.database(t, templateDatabase)
}

// EmptyDatabase creates a database like Database, but without the schema, and returns its DSN.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	return sharedPostgres.database(t, "template0")
}

// OwnPostgres is a Postgres that one test uses alone and may stop, kill and start again.
type OwnPostgres struct {
	*devserver.Postgres
	options devserver.PostgresOptions
}

// Postgres starts an OwnPostgres without the schema and stops it when the test ends. That takes a
// second; use Database if you only need data.
func Postgres(t testing.TB) *OwnPostgres {
	t.Helper()
	return startPostgres(t, postgresOptions(serverDir(t)))
}

// PostgresWith starts an OwnPostgres like Postgres, with further settings.
func PostgresWith(t testing.TB, settings map[string]string) *OwnPostgres {
	t.Helper()
	options := postgresOptions(serverDir(t))
	maps.Copy(options.Settings, settings)
	return startPostgres(t, options)
}

func startPostgres(t testing.TB, options devserver.PostgresOptions) *OwnPostgres {
	t.Helper()
	s := &OwnPostgres{options: options}
	s.Start(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

// Start starts the stopped server again, with its data and at its old address.
func (s *OwnPostgres) Start(t testing.TB) {
	t.Helper()
	server, err := devserver.StartPostgres(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	s.Postgres = server
}

// Freeze suspends the server and its backends: connections stay open, and new ones are neither
// refused nor answered. thaw resumes them; so does the end of the test.
func (s *OwnPostgres) Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	thaw = func() {
		for _, pid := range append(pids, s.PID()) {
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(func() { thaw(); conn.Close(context.Background()) })
	syscall.Kill(s.PID(), syscall.SIGSTOP) // first, so that it starts no further backend
	if err := conn.QueryRow(ctx, "SELECT array_agg(pid) FROM pg_stat_activity").Scan(&pids); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGSTOP)
	}
	return thaw
}

// postgresOptions allows enough connections for the pools of many edges.
func postgresOptions(dir string) devserver.PostgresOptions {
	return devserver.PostgresOptions{Dir: dir, Settings: map[string]string{"max_connections": "300"}}
}

const templateDatabase = "hoko_template"

// sharedPostgres is the server that all tests of this binary share. Its first use starts it.
var sharedPostgres sharedServer

type sharedServer struct {
	once      sync.Once
	server    *devserver.Postgres
	err       error
	databases atomic.Int64
}

func (s *sharedServer) database(t testing.TB, template string) string {
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
		if err := s.drop(name); err != nil {
			t.Error(err)
		}
	})
	return s.server.DSN(name)
}

// drop drops a database. It retries until all backends have ended: FORCE waits only five seconds.
func (s *sharedServer) drop(name string) error {
	ctx, cancel := stepContext()
	defer cancel()
	for {
		err := execute(ctx, s.server, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name))
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pgErr.Code != pgerrcode.ObjectInUse || ctx.Err() != nil {
			return err
		}
	}
}

func (s *sharedServer) exec(sql string) error {
	ctx, cancel := stepContext()
	defer cancel()
	return execute(ctx, s.server, sql)
}

func (s *sharedServer) stop() {
	if s.server != nil {
		s.server.Stop()
	}
}

// startShared starts the server and creates the database that Database copies.
func startShared() (*devserver.Postgres, error) {
	ctx, cancel := stepContext()
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
