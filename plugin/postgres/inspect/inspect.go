// Package inspect reads what `caddy hoko doctor` reports of a database. It changes nothing.
package inspect

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

// Database is a connection whose questions are about the database, as the role of the connection
// sees it. It has one user at a time.
type Database struct{ conn *pgx.Conn }

// Open connects. Close ends the connection.
func Open(ctx context.Context, dsn string) (*Database, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	return &Database{conn}, nil
}

// Close closes the connection.
func (d *Database) Close() { postgres.CloseConn(d.conn) }

// AttributionSources says which of the relations that a sale is attributed by have a row.
type AttributionSources struct{ Links, Clicks, Leads bool }

// AttributionSources looks for a row in each of hoko.links, hoko.clicks and hoko.leads.
func (d *Database) AttributionSources(ctx context.Context) (s AttributionSources, err error) {
	const question = `SELECT EXISTS (SELECT FROM hoko.links), EXISTS (SELECT FROM hoko.clicks), EXISTS (SELECT FROM hoko.leads)`
	if err := d.conn.QueryRow(ctx, question).Scan(&s.Links, &s.Clicks, &s.Leads); err != nil {
		return s, fmt.Errorf("look for links, clicks and leads: %w", err)
	}
	return s, nil
}

// rows returns the rows of a query, a struct with the fields in the order of the columns for each.
func rows[T any](ctx context.Context, d *Database, what, query string, args ...any) ([]T, error) {
	found, _ := d.conn.Query(ctx, query, args...) // CollectRows returns its error
	all, err := pgx.CollectRows(found, pgx.RowToStructByPos[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
