package main

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

// database is one with the schema, customers and a connection of the harness's own.
type database struct {
	dsn  string
	conn *pgx.Conn
}

//go:embed peers/seed.sql
var seedSQL string

// pgbenchSQL is what its scripts call.
//
//go:embed peers/pgbench/sale.sql
var pgbenchSQL string

// createDatabase makes a database with so many customers.
func (s *stage) createDatabase(ctx context.Context, name string, customers int) (*database, error) {
	admin, err := pgx.Connect(ctx, s.postgres.DSN("postgres"))
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	d := &database{dsn: s.postgres.DSN(name)}
	if err := postgres.Migrate(ctx, d.dsn, nil); err != nil {
		return nil, err
	}
	if d.conn, err = pgx.Connect(ctx, d.dsn); err != nil {
		return nil, err
	}
	s.onClose(func() { d.conn.Close(context.Background()) })
	for _, sql := range []string{strings.ReplaceAll(seedSQL, ":customers", strconv.Itoa(customers)), pgbenchSQL, "VACUUM ANALYZE"} {
		if err := d.exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	return d, nil
}

// exec runs statements without arguments, several in one transaction.
func (d *database) exec(ctx context.Context, sql string) error {
	_, err := d.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// asSeeded undoes what a round has done, so that each finds the same tables.
// Only customers that a round has changed or made are touched.
var asSeeded = []string{
	"TRUNCATE hoko.sales, hoko.idempotency_keys",
	`DELETE FROM hoko.customers WHERE external_id NOT LIKE 'customer\_%'`,
	"UPDATE hoko.customers SET name = 'John Doe', email = 'john@example.com' WHERE (name, email) IS DISTINCT FROM ('John Doe', 'john@example.com')",
	"VACUUM hoko.customers, hoko.sales, hoko.idempotency_keys",
	"CHECKPOINT",
}

func (d *database) reset(ctx context.Context) error {
	for _, sql := range asSeeded {
		if err := d.exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
