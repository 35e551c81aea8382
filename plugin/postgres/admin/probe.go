package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

// Probe is the result of [ProbeKey].
type Probe struct {
	KeyID    string
	Notified []string // columns whose changes sent a notification
	Missed   []string // columns whose changes sent none
	Skipped  []string // columns that cannot be changed and restored through hoko.api_keys
}

// probedColumns are the columns of hoko.api_keys that decide what a key may do, each with an
// expression for another value.
var probedColumns = []struct{ name, other string }{
	{"revoked_at", "CASE WHEN revoked_at IS NULL THEN now() END"},
	{"expires_at", "CASE WHEN expires_at IS DISTINCT FROM '-infinity' THEN timestamptz '-infinity' END"},
	{"scopes", "scopes || '{hoko_doctor}'"},
	{"allowed_hostnames", "allowed_hostnames || '{hoko-doctor.invalid}'"},
	{"rate_limit", "CASE WHEN rate_limit IS NULL THEN 1 END"},
	{"rate_period", "CASE WHEN rate_period IS NULL THEN interval '1 minute' END"},
	{"rate_burst", "CASE WHEN rate_burst IS NULL THEN 1 END"},
}

// ProbeKey changes a key, one column at a time, restores it in the same transaction, and listens
// over listenDSN for the notifications of the commit. No other session sees the change, and an
// interruption leaves the key unchanged. which selects the key as for [RevokeKey].
func ProbeKey(ctx context.Context, dsn, listenDSN, which string) (p Probe, err error) {
	conn, err := postgres.Connect(ctx, dsn, map[string]string{"lock_timeout": "2s"})
	if err != nil {
		return p, err
	}
	defer postgres.CloseConn(conn) // and roll back
	key, err := findKey(ctx, conn, which)
	if err != nil {
		return p, err
	}
	p.KeyID = key.ID
	l, err := listenForProbe(ctx, listenDSN)
	if err != nil {
		return p, err
	}
	defer postgres.CloseConn(l.conn)
	for _, column := range probedColumns {
		changed, err := changeAndRestore(ctx, conn, key.ID, column.name, column.other)
		if unchangeable(err) {
			p.Skipped = append(p.Skipped, column.name)
			continue
		}
		if err != nil {
			return p, fmt.Errorf("change %s of key %s: %w", column.name, key.ID, err)
		}
		notified, err := l.notified(ctx, conn, changed)
		switch {
		case err != nil:
			return p, err
		case notified:
			p.Notified = append(p.Notified, column.name)
		default:
			p.Missed = append(p.Missed, column.name)
		}
	}
	return p, nil
}

// changedKey identifies a key, and the session that has changed and restored it.
type changedKey struct {
	hash        apikey.Hash
	workspaceID string
	backendPID  uint32
}

var errUnchangeable = errors.New("the column cannot be changed and restored")

// changeAndRestore changes a column and restores it in one transaction, which it commits only if
// the row is the same as before. If another session has changed the key meanwhile, the transaction
// fails, so that it does not undo that change, and changeAndRestore retries.
func changeAndRestore(ctx context.Context, conn *pgx.Conn, id, column, other string) (changed changedKey, err error) {
	for range maxAttempts {
		changed, err = tryChange(ctx, conn, id, column, other)
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pgErr.Code != pgerrcode.SerializationFailure {
			return changed, err
		}
	}
	return changed, fmt.Errorf("other sessions keep changing the key; try again: %w", err)
}

const maxAttempts = 10

// tryChange uses REPEATABLE READ, so that it fails if another session has changed the key.
func tryChange(ctx context.Context, conn *pgx.Conn, id, column, other string) (changed changedKey, err error) {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	err = pgx.BeginTxFunc(ctx, conn, snapshot, func(tx pgx.Tx) error {
		var before, during, after, kind string
		var value *string
		var hash []byte
		read := "SELECT k::text FROM hoko.api_keys k WHERE id::text = $1"
		save := `SELECT k::text, k.key_hash, workspace_id::text, pg_backend_pid(),
			pg_typeof(` + column + `)::text, ` + column + `::text FROM hoko.api_keys k WHERE id::text = $1`
		if err := tx.QueryRow(ctx, save, id).Scan(&before, &hash, &changed.workspaceID, &changed.backendPID, &kind,
			&value); err != nil {
			return err
		}
		copy(changed.hash[:], hash)
		if _, err := tx.Exec(ctx, "UPDATE hoko.api_keys SET "+column+" = "+other+" WHERE id::text = $1",
			id); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, read, id).Scan(&during); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE hoko.api_keys SET "+column+" = $2::text::"+kind+" WHERE id::text = $1", id,
			value); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, read, id).Scan(&after); err != nil {
			return err
		}
		if during == before || after != before {
			return errUnchangeable
		}
		return nil
	})
	return changed, err
}

// unchangeable reports whether a view computes the column, or the site rejects the other value.
func unchangeable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return errors.Is(err, errUnchangeable)
	}
	return pgErr.Code == pgerrcode.FeatureNotSupported || pgErr.Code == pgerrcode.ObjectNotInPrerequisiteState ||
		pgerrcode.IsDataException(pgErr.Code) || pgerrcode.IsIntegrityConstraintViolation(pgErr.Code) ||
		pgerrcode.IsPLpgSQLError(pgErr.Code)
}

// notificationTimeout is how long a notification may take after its commit.
const notificationTimeout = 5 * time.Second

// probeListener listens to hoko_keys, as edges do, and to a separate channel.
type probeListener struct {
	conn    *pgx.Conn
	channel string // marks the end of a commit's notifications
}

func listenForProbe(ctx context.Context, dsn string) (*probeListener, error) {
	connector, err := postgres.NewConnector(dsn, nil)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx, func(config *pgx.ConnConfig) {
		config.OnNotification = nil // pgx queues them for WaitForNotification
	})
	if err != nil {
		return nil, err
	}
	l := &probeListener{conn, "hoko_doctor_" + strings.ToLower(rand.Text())}
	if _, err := conn.Exec(ctx, "LISTEN hoko_keys; LISTEN "+l.channel); err != nil {
		postgres.CloseConn(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// notified reports whether the transaction that changed the key has notified the edges. Postgres
// delivers notifications in the order of commits, so all of them arrive before the one sent here.
func (l *probeListener) notified(ctx context.Context, conn *pgx.Conn, changed changedKey) (notified bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, notificationTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT pg_notify($1, '')", l.channel); err != nil {
		return false, fmt.Errorf("notify: %w", err)
	}
	for {
		n, err := l.conn.WaitForNotification(ctx)
		switch {
		case err != nil:
			return false, fmt.Errorf("wait for a notification: %w", err)
		case n.Channel == l.channel:
			return notified, nil
		case n.PID == changed.backendPID && apikey.Announces(n.Payload, changed.hash, changed.workspaceID):
			notified = true
		}
	}
}
