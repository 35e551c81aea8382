package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// cleanUpTask identifies the row of hoko.maintenance that `caddy hoko idempotency clean` writes.
const cleanUpTask = "idempotency clean"

// RecordCleanUp records that a clean-up of the idempotency keys has completed. The error wraps
// [ErrSchema] if the schema is too old.
func RecordCleanUp(ctx context.Context, conn *pgx.Conn) error {
	const sql = `INSERT INTO hoko.maintenance (task, done_at) VALUES ($1, now())
		ON CONFLICT (task) DO UPDATE SET done_at = excluded.done_at`
	_, err := conn.Exec(ctx, sql, cleanUpTask)
	return SchemaError(err)
}

// errMaintenance is the error of [LastCleanUp] if the table is missing or not readable.
var errMaintenance = errors.New("hoko.maintenance does not exist, or the role may not read it " +
	"(run: caddy hoko migrate, then docs/role.sql)")

// LastCleanUp returns the time that [RecordCleanUp] last recorded, or the zero time. It uses one
// connection of the pool, and waits at most 250 ms for a lock on the table.
func LastCleanUp(ctx context.Context, pool *pgxpool.Pool) (at time.Time, err error) {
	// To ask first keeps errors out of the server's log. QueryExecModeExec, because poolers lose
	// prepared statements.
	const ask = `SELECT coalesce(has_table_privilege(to_regclass('hoko.maintenance'), 'SELECT'), false),
		set_config('lock_timeout', '250ms', true)`
	const read = `SELECT done_at FROM hoko.maintenance WHERE task = $1`
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var readable bool
		if err := tx.QueryRow(ctx, ask, pgx.QueryExecModeExec).Scan(&readable, nil); err != nil {
			return err
		}
		if !readable {
			return errMaintenance
		}
		err := tx.QueryRow(ctx, read, pgx.QueryExecModeExec, cleanUpTask).Scan(&at)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time of the last clean-up: %w", err)
	}
	return at, nil
}
