// Package inspect queries what `caddy hoko doctor` reports about a database. It changes nothing.
package inspect

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

// Database is a connection to the database to inspect. Methods see what its role sees. It is not
// safe for concurrent use.
type Database struct{ conn *pgx.Conn }

// Open connects to a database. The caller must call [Database.Close].
func Open(ctx context.Context, dsn string) (*Database, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	return &Database{conn}, nil
}

// Close closes the connection.
func (d *Database) Close() { postgres.CloseConn(d.conn) }

// AttributionSources reports which of the relations that attribute sales contain rows.
type AttributionSources struct{ Links, Clicks, Leads bool }

// AttributionSources looks for rows in hoko.links, hoko.clicks and hoko.leads.
func (d *Database) AttributionSources(ctx context.Context) (s AttributionSources, err error) {
	const query = `SELECT EXISTS (SELECT FROM hoko.links), EXISTS (SELECT FROM hoko.clicks),
		EXISTS (SELECT FROM hoko.leads)`
	if err := d.conn.QueryRow(ctx, query).Scan(&s.Links, &s.Clicks, &s.Leads); err != nil {
		return s, fmt.Errorf("look for links, clicks and leads: %w", err)
	}
	return s, nil
}

// collect returns the rows of a query as structs, whose fields have the order of the columns.
// Errors begin with what.
func collect[T any](ctx context.Context, d *Database, what, query string) ([]T, error) {
	rows, _ := d.conn.Query(ctx, query) // CollectRows returns the error
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
