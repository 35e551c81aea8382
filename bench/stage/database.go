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

// Database has the edge's schema, the rows of peers.Seed and the functions of peers.SaleSQL.
type Database struct {
	DSN  string
	conn *pgx.Conn
}

// CreateDatabase creates a database with the given number of customers.
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
	for _, sql := range []string{seed, peers.SaleSQL, "VACUUM ANALYZE"} {
		if err := d.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	return d, nil
}

// Exec runs one or more statements without arguments, in one implicit transaction.
func (d *Database) Exec(ctx context.Context, sql string) error {
	_, err := d.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// resetSQL undoes a round. It writes only to customers that the round has created or changed.
var resetSQL = []string{
	"TRUNCATE hoko.sales, hoko.idempotency_keys",
	`DELETE FROM hoko.customers WHERE external_id NOT LIKE 'customer\_%'`,
	`UPDATE hoko.customers SET name = 'John Doe', email = 'john@example.com'
		WHERE (name, email) IS DISTINCT FROM ('John Doe', 'john@example.com')`,
	"VACUUM hoko.customers, hoko.sales, hoko.idempotency_keys",
	"CHECKPOINT",
}

// Reset restores the rows of the seed, vacuums the tables and runs a checkpoint.
func (d *Database) Reset(ctx context.Context) error {
	for _, sql := range resetSQL {
		if err := d.Exec(ctx, sql); err != nil {
			return fmt.Errorf("reset the tables: %s: %w", sql, err)
		}
	}
	return nil
}
