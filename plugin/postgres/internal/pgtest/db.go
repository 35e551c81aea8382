// Package pgtest has what the tests of plugin/postgres and its subpackages share: a connection of
// the test's own, a log that it reads, and a wire to Postgres that it can cut.
package pgtest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// HangGuard ends a test that would otherwise wait forever.
const HangGuard = time.Minute

// Guarded returns a context with the hang guard. It serves cleanups too.
func Guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), HangGuard)
	t.Cleanup(cancel)
	return ctx
}

// DB is a connection of the test's own, for what the code under test does not do.
type DB struct {
	T    testing.TB
	Conn *pgx.Conn
}

// Connect opens a connection that closes with the test.
func Connect(t testing.TB, dsn string) DB {
	t.Helper()
	conn, err := pgx.Connect(Guarded(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return DB{t, conn}
}

// Exec executes a statement and fails the test if that fails.
func (d DB) Exec(sql string, args ...any) {
	d.T.Helper()
	if _, err := d.Conn.Exec(Guarded(d.T), sql, args...); err != nil {
		d.T.Fatalf("%s: %v", sql, err)
	}
}

// Value returns the only column of the only row.
func Value[T any](d DB, sql string, args ...any) T {
	d.T.Helper()
	var v T
	if err := d.Conn.QueryRow(Guarded(d.T), sql, args...).Scan(&v); err != nil {
		d.T.Fatalf("%s: %v", sql, err)
	}
	return v
}

// Log is a log that a test reads.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to the log.
func (j *Log) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns all that was logged.
func (j *Log) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Logger returns a logger that writes to the log.
func (j *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// Count returns how often a text was logged.
func (j *Log) Count(text string) int { return strings.Count(j.String(), text) }
