package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/postgres"
)

// MinKeyAge is the minimum age of the keys that [CleanIdempotencyKeys] deletes. docs/api.md
// promises callers that keys are remembered that long.
const MinKeyAge = 7 * 24 * time.Hour

// slicePages is the number of table pages per statement, which hold some thousand keys.
const slicePages = 500

var (
	cleanKeysSQL    = postgres.ReadQuery(queries, "query/idempotency_clean.sql")
	cleanUsageSQL   = postgres.ReadQuery(queries, "query/usage_clean.sql")
	eraseAnswersSQL = postgres.ReadQuery(queries, "query/idempotency_erase.sql")
)

// ErrNotRecorded means that a clean-up is complete, but that the edges will not know.
var ErrNotRecorded = errors.New("the clean-up is complete, but its time could not be recorded for the edges' metric")

// CleanIdempotencyKeys deletes the idempotency keys that are older than olderThan, which must be at
// least [MinKeyAge], and returns their number, even with an error. It uses short transactions (one
// before Postgres 14), so that sales do not wait. It needs the privileges of the schema's owner. If
// all of them are deleted, it records the time; the error wraps [ErrNotRecorded] if that fails. It
// also deletes when keys that no longer exist were last used.
func CleanIdempotencyKeys(ctx context.Context, dsn string, olderThan time.Duration) (deleted int64, err error) {
	if olderThan < MinKeyAge {
		return 0, fmt.Errorf("the API promises that a key is kept for 7 days: %s is too short", olderThan)
	}
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return 0, err
	}
	defer postgres.CloseConn(conn)
	age := pgtype.Interval{Microseconds: olderThan.Microseconds(), Valid: true}
	deleted, err = execInSlices(ctx, conn, cleanKeysSQL, age)
	if err != nil {
		return deleted, fmt.Errorf("delete idempotency keys: %w", err)
	}
	if err := postgres.RecordCleanUp(ctx, conn); err != nil {
		return deleted, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	// An older schema has no last uses.
	_, err = conn.Exec(ctx, cleanUsageSQL)
	if err != nil && !errors.Is(postgres.SchemaError(err), postgres.ErrSchema) {
		return deleted, fmt.Errorf("delete when deleted keys were last used: %w", err)
	}
	return deleted, nil
}

// EraseAnswers removes the name, email, phone, avatar and metadata of one customer from the answers
// that are stored with idempotency keys. workspace is an ID or a name. EraseAnswers returns the
// number of changed answers, even with an error. The keys stay, so that retries still replay. It
// fails if neither the workspace nor its answers contain the customer. It needs the privileges of
// the schema's owner.
func EraseAnswers(ctx context.Context, dsn, workspace, customerExternalID string) (erased int64, err error) {
	if workspace == "" || customerExternalID == "" {
		return 0, errors.New("name the workspace and the customer's external ID")
	}
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return 0, err
	}
	defer postgres.CloseConn(conn)
	id, err := findWorkspace(ctx, conn, workspace)
	if err != nil {
		return 0, err
	}
	if err := waitForOpenSales(ctx, conn); err != nil {
		return 0, fmt.Errorf("erase stored answers: %w", err)
	}
	erased, err = execInSlices(ctx, conn, eraseAnswersSQL, id, customerExternalID)
	if err != nil {
		return erased, fmt.Errorf("erase stored answers: %w", err)
	}
	if erased > 0 {
		return erased, nil
	}
	return 0, checkCustomer(ctx, conn, id, customerExternalID)
}

// checkCustomer returns an error if there is no such customer. An answer may contain a customer
// that the site has already deleted.
func checkCustomer(ctx context.Context, conn *pgx.Conn, workspaceID, externalID string) error {
	const known = `SELECT EXISTS (SELECT FROM hoko.customers WHERE workspace_id = $1 AND external_id = $2)
		OR EXISTS (SELECT FROM hoko.idempotency_keys
			WHERE workspace_id = $1 AND response #>> '{customer,externalId}' = $2)`
	var exists bool
	if err := conn.QueryRow(ctx, known, workspaceID, externalID).Scan(&exists); err != nil {
		return fmt.Errorf("look for customer: %w", postgres.SchemaError(err))
	}
	if !exists {
		return fmt.Errorf("no such customer: neither workspace %s nor its stored answers have the external ID %q",
			Printable(workspaceID), externalID)
	}
	return nil
}

const maxOpenSalesWait = time.Minute

// waitForOpenSales waits, at most maxOpenSalesWait, for the transactions that may have read the
// customer before its erasure and written an answer that is not visible yet.
func waitForOpenSales(ctx context.Context, conn *pgx.Conn) error {
	const open = `SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
		WHERE relation = 'hoko.idempotency_keys'::regclass AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()`
	var before []string
	if err := conn.QueryRow(ctx, open).Scan(&before); err != nil {
		return postgres.SchemaError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, maxOpenSalesWait)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var running bool
		const query = `SELECT EXISTS (SELECT FROM pg_locks WHERE virtualtransaction = ANY ($1))`
		if err := conn.QueryRow(ctx, query, before).Scan(&running); err != nil {
			return fmt.Errorf("wait for sales that are being recorded (is a standby down?): %w", err)
		}
		if !running {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// execInSlices runs a statement for one slice of the table's pages after the other. It returns the
// number of changed rows.
func execInSlices(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (changed int64, err error) {
	pages, slice, err := tablePages(ctx, conn)
	if err != nil {
		return 0, err
	}
	for page := int64(0); page < pages; page += slice {
		tag, err := conn.Exec(ctx, sql, append([]any{page, page + slice}, args...)...)
		if err != nil {
			return changed, postgres.SchemaError(err)
		}
		changed += tag.RowsAffected()
	}
	return changed, nil
}

// tablePages returns the number of pages of the table and of one slice. Before Postgres 14, which
// cannot scan a range of pages, the slice is the whole table.
func tablePages(ctx context.Context, conn *pgx.Conn) (pages, slice int64, err error) {
	const sql = `SELECT pg_relation_size(oid) / current_setting('block_size')::int,
		current_setting('server_version_num')::int, relkind = 'r'
		FROM pg_class WHERE oid = 'hoko.idempotency_keys'::regclass`
	var version int
	var ordinary bool
	if err := conn.QueryRow(ctx, sql).Scan(&pages, &version, &ordinary); err != nil {
		return 0, 0, postgres.SchemaError(err)
	}
	if !ordinary {
		return 0, 0, errors.New("hoko.idempotency_keys is not an ordinary table, as this command requires")
	}
	if version < 140000 {
		return pages, pages, nil
	}
	return pages, slicePages, nil
}
