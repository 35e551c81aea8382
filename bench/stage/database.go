package stage

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/bench/peers"
	"hoko.to/edge/plugin/postgres"
)

// Database has the schema, customers and a connection for the harness.
type Database struct {
	DSN  string
	conn *pgx.Conn
}

// CreateDatabase makes a database with so many customers.
func (s *Stage) CreateDatabase(ctx context.Context, name string, customers int) (*Database, error) {
	admin, err := pgx.Connect(ctx, s.Postgres.DSN("postgres"))
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	d := &Database{DSN: s.Postgres.DSN(name)}
	if err := postgres.Migrate(ctx, d.DSN, nil); err != nil {
		return nil, err
	}
	if d.conn, err = pgx.Connect(ctx, d.DSN); err != nil {
		return nil, err
	}
	s.onClose(func() { d.conn.Close(context.Background()) })
	seed := strings.ReplaceAll(peers.Seed, ":customers", strconv.Itoa(customers))
	for _, sql := range []string{seed, peers.Statement, "VACUUM ANALYZE"} {
		if err := d.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	return d, nil
}

// Exec runs statements without arguments, several in one transaction.
func (d *Database) Exec(ctx context.Context, sql string) error {
	_, err := d.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// asSeeded undoes what a round has done, so that each finds the same tables.
// Only customers that a round has changed or made are touched.
var asSeeded = []string{
	"TRUNCATE hoko.sales, hoko.idempotency_keys",
	`DELETE FROM hoko.customers WHERE external_id NOT LIKE 'customer\_%'`,
	`UPDATE hoko.customers SET name = 'John Doe', email = 'john@example.com'
		WHERE (name, email) IS DISTINCT FROM ('John Doe', 'john@example.com')`,
	"VACUUM hoko.customers, hoko.sales, hoko.idempotency_keys",
	"CHECKPOINT",
}

// Reset puts the tables back to what they were.
func (d *Database) Reset(ctx context.Context) error {
	for _, sql := range asSeeded {
		if err := d.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
