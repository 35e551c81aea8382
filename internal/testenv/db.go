package testenv

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// DB is a test's connection to a database. Its methods fail the test if a statement fails.
type DB struct {
	Conn *pgx.Conn
	T    testing.TB
}

// Connect opens a DB and closes it when the test ends.
func Connect(t testing.TB, dsn string) DB {
	t.Helper()
	conn, err := pgx.Connect(Guarded(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return DB{conn, t}
}

// Close closes the connection before the test ends.
func (d DB) Close() { d.Conn.Close(context.Background()) }

// Exec runs one statement, or several if there are no arguments.
func (d DB) Exec(sql string, args ...any) {
	d.T.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	if _, err := d.Conn.Exec(ctx, sql, args...); err != nil {
		d.T.Fatalf("%s: %v", sql, err)
	}
}

// Count returns the number that a query returns.
func (d DB) Count(sql string, args ...any) int { d.T.Helper(); return Value[int](d, sql, args...) }

// Text returns the text that a query returns.
func (d DB) Text(sql string, args ...any) string { d.T.Helper(); return Value[string](d, sql, args...) }

// Value returns the only column of the first row of a query.
func Value[V any](d DB, sql string, args ...any) (v V) {
	d.T.Helper()
	ctx, cancel := stepContext()
	defer cancel()
	if err := d.Conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		d.T.Fatalf("%s: %v", sql, err)
	}
	return v
}
