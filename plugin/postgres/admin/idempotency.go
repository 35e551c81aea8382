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

// MinKeyAge is how long callers are promised that an Idempotency-Key is
// remembered (docs/api.md).
const MinKeyAge = 7 * 24 * time.Hour

// pageSlice is how many pages of the table one statement goes through: some
// thousand keys, which takes it milliseconds.
const pageSlice = 500

var (
	cleanKeysSQL    = postgres.ReadQuery(queries, "query/idempotency_clean.sql")
	eraseAnswersSQL = postgres.ReadQuery(queries, "query/idempotency_erase.sql")
)

// CleanIdempotencyKeys deletes the keys older than an age of at least
// MinKeyAge, in short transactions, beside running edges, and returns how many
// they were. It needs the rights of the schema's owner. What was deleted when
// an error ended it stays deleted.
func CleanIdempotencyKeys(ctx context.Context, dsn string, olderThan time.Duration) (deleted int64, err error) {
	if olderThan < MinKeyAge {
		return 0, fmt.Errorf("callers are promised that a key is remembered for 7 days: %s is too short", olderThan)
	}
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return 0, err
	}
	defer postgres.CloseConn(conn)
	age := pgtype.Interval{Microseconds: olderThan.Microseconds(), Valid: true}
	deleted, err = throughKeys(ctx, conn, cleanKeysSQL, age)
	if err != nil {
		return deleted, fmt.Errorf("delete idempotency keys: %w", err)
	}
	return deleted, nil
}

// EraseAnswers removes the name, e-mail, phone, avatar and metadata from every
// answer that is remembered for sales to one customer of a workspace, which is
// given by id or name, and returns how many answers they were. The keys stay, so
// that a retry does not record its sale again. A customer that neither the
// workspace nor a remembered answer knows is an error. It needs the rights of
// the schema's owner.
func EraseAnswers(ctx context.Context, dsn, workspace, customerExternalID string) (erased int64, err error) {
	if workspace == "" || customerExternalID == "" {
		return 0, errors.New("name the workspace and the customer's external id")
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
	if err := awaitOpenSales(ctx, conn); err != nil {
		return 0, fmt.Errorf("erase remembered answers: %w", err)
	}
	erased, err = throughKeys(ctx, conn, eraseAnswersSQL, id, customerExternalID)
	if err != nil {
		return erased, fmt.Errorf("erase remembered answers: %w", err)
	}
	if erased > 0 {
		return erased, nil
	}
	return 0, checkCustomer(ctx, conn, id, customerExternalID)
}

// checkCustomer returns an error if there is no such customer. One that is erased from the site's
// tables may still stand in answers, without its name.
func checkCustomer(ctx context.Context, conn *pgx.Conn, workspaceID, externalID string) error {
	const known = `SELECT EXISTS (SELECT FROM hoko.customers WHERE workspace_id = $1 AND external_id = $2)
		OR EXISTS (SELECT FROM hoko.idempotency_keys WHERE workspace_id = $1 AND response #>> '{customer,externalId}' = $2)`
	var exists bool
	if err := conn.QueryRow(ctx, known, workspaceID, externalID).Scan(&exists); err != nil {
		return fmt.Errorf("look for customer: %w", postgres.SchemaError(err))
	}
	if !exists {
		return fmt.Errorf("no such customer: neither workspace %s nor a remembered answer of its sales knows the external id %q",
			Printable(workspaceID), externalID)
	}
	return nil
}

// openSalesWait bounds the wait for sales that are just being recorded.
const openSalesWait = time.Minute

// awaitOpenSales returns once all transactions have ended that may have read
// the person before the erasure, and written an answer that is not visible yet.
func awaitOpenSales(ctx context.Context, conn *pgx.Conn) error {
	const open = `SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
		WHERE relation = 'hoko.idempotency_keys'::regclass AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()`
	var before []string
	if err := conn.QueryRow(ctx, open).Scan(&before); err != nil {
		return postgres.SchemaError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, openSalesWait)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var still bool
		const ask = `SELECT EXISTS (SELECT FROM pg_locks WHERE virtualtransaction = ANY ($1))`
		if err := conn.QueryRow(ctx, ask, before).Scan(&still); err != nil {
			return fmt.Errorf("wait for the sales that are being recorded (is a standby away?): %w", err)
		}
		if !still {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// throughKeys runs a statement on one slice of the table's pages after the
// other, and returns how many rows it changed.
func throughKeys(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (changed int64, err error) {
	pages, slice, err := keyPages(ctx, conn)
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

// keyPages is how many pages the table has, and how many one statement is to go
// through: all of them before Postgres 14, which cannot find pages by number.
func keyPages(ctx context.Context, conn *pgx.Conn) (pages, slice int64, err error) {
	const sql = `SELECT pg_relation_size(oid) / current_setting('block_size')::int, current_setting('server_version_num')::int, relkind = 'r'
		FROM pg_class WHERE oid = 'hoko.idempotency_keys'::regclass`
	var version int
	var ordinary bool
	if err := conn.QueryRow(ctx, sql).Scan(&pages, &version, &ordinary); err != nil {
		return 0, 0, postgres.SchemaError(err)
	}
	if !ordinary {
		return 0, 0, errors.New("hoko.idempotency_keys is not an ordinary table, which is all that this command can go through")
	}
	if version < 140000 {
		return pages, pages, nil
	}
	return pages, pageSlice, nil
}
