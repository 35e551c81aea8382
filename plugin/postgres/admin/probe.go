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

// Probe is what became of the changes to a key.
type Probe struct {
	KeyID    string
	Notified []string // columns whose change was notified
	Missed   []string // columns whose change was not
	Skipped  []string // columns that cannot be changed and restored through hoko.api_keys
}

// probedColumns are those of hoko.api_keys that decide what a key may do, with another value for
// each.
var probedColumns = []struct{ name, other string }{
	{"revoked_at", "CASE WHEN revoked_at IS NULL THEN now() END"},
	{"expires_at", "CASE WHEN expires_at IS DISTINCT FROM '-infinity' THEN timestamptz '-infinity' END"},
	{"scopes", "scopes || '{hoko_doctor}'"},
	{"allowed_hostnames", "allowed_hostnames || '{hoko-doctor.invalid}'"},
	{"rate_limit", "CASE WHEN rate_limit IS NULL THEN 1 END"},
	{"rate_period", "CASE WHEN rate_period IS NULL THEN interval '1 minute' END"},
	{"rate_burst", "CASE WHEN rate_burst IS NULL THEN 1 END"},
}

// ProbeKey changes what a key may do, a column at a time, restores it in the same transaction, and
// listens over listenDSN for what the commit notifies. No other session ever sees the key changed,
// and nothing remains changed if it is interrupted. which names the key as it does for RevokeKey.
func ProbeKey(ctx context.Context, dsn, listenDSN, which string) (p Probe, err error) {
	conn, err := postgres.Connect(ctx, dsn, map[string]string{"lock_timeout": "2s"})
	if err != nil {
		return p, err
	}
	defer postgres.CloseConn(conn) // which rolls back
	key, err := findKey(ctx, conn, which)
	if err != nil {
		return p, err
	}
	p.KeyID = key.ID
	ear, err := openEar(ctx, listenDSN)
	if err != nil {
		return p, err
	}
	defer postgres.CloseConn(ear.conn)
	for _, column := range probedColumns {
		changed, err := changeAndRestore(ctx, conn, key.ID, column.name, column.other)
		if unchangeable(err) {
			p.Skipped = append(p.Skipped, column.name)
			continue
		}
		if err != nil {
			return p, fmt.Errorf("change %s of key %s: %w", column.name, key.ID, err)
		}
		heard, err := ear.heard(ctx, conn, changed)
		switch {
		case err != nil:
			return p, err
		case heard:
			p.Notified = append(p.Notified, column.name)
		default:
			p.Missed = append(p.Missed, column.name)
		}
	}
	return p, nil
}

// changedKey is a key that a transaction of the session has changed and restored.
type changedKey struct {
	hash        apikey.Hash
	workspaceID string
	session     uint32
}

var errUnchangeable = errors.New("the column cannot be changed and restored")

// changeAndRestore commits a change and its opposite in one transaction. Nothing is committed
// unless the row is the same again afterwards. It tries again if another session has changed the
// key meanwhile: to restore what was read before would undo that, even a revocation.
func changeAndRestore(ctx context.Context, conn *pgx.Conn, id, column, other string) (changed changedKey, err error) {
	for range maxOvertaken {
		changed, err = tryChange(ctx, conn, id, column, other)
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || refused.Code != pgerrcode.SerializationFailure {
			return changed, err
		}
	}
	return changed, fmt.Errorf("other sessions change the key all the time; try again: %w", err)
}

// maxOvertaken bounds the attempts to change and restore a column.
const maxOvertaken = 10

// tryChange sees one snapshot of the key, so that it fails if another session has changed the key
// since.
func tryChange(ctx context.Context, conn *pgx.Conn, id, column, other string) (changed changedKey, err error) {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	err = pgx.BeginTxFunc(ctx, conn, snapshot, func(tx pgx.Tx) error {
		var before, during, after, kind string
		var value *string
		var hash []byte
		read := "SELECT k::text FROM hoko.api_keys k WHERE id::text = $1"
		keep := `SELECT k::text, k.key_hash, workspace_id::text, pg_backend_pid(), pg_typeof(` + column + `)::text, ` + column + `::text
			FROM hoko.api_keys k WHERE id::text = $1`
		if err := tx.QueryRow(ctx, keep, id).Scan(&before, &hash, &changed.workspaceID, &changed.session, &kind,
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

// unchangeable recognizes columns that a view computes, and values that the site refuses.
func unchangeable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return errors.Is(err, errUnchangeable)
	}
	return refused.Code == pgerrcode.FeatureNotSupported || refused.Code == pgerrcode.ObjectNotInPrerequisiteState ||
		pgerrcode.IsDataException(refused.Code) || pgerrcode.IsIntegrityConstraintViolation(refused.Code) ||
		pgerrcode.IsPLpgSQLError(refused.Code)
}

// earPatience bounds the wait for a notification after its commit.
const earPatience = 5 * time.Second

// ear is a connection that listens to what edges listen to, and to a channel of its own.
type ear struct {
	conn *pgx.Conn
	end  string // the channel
}

func openEar(ctx context.Context, dsn string) (*ear, error) {
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
	e := &ear{conn, "hoko_doctor_" + strings.ToLower(rand.Text())}
	if _, err := conn.Exec(ctx, "LISTEN hoko_keys; LISTEN "+e.end); err != nil {
		postgres.CloseConn(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return e, nil
}

// heard reports whether the transaction that changed the key has notified the edges of it. Postgres
// delivers notifications in the order of the commits: what was not heard before the one that the
// session sends now was not sent.
func (e *ear) heard(ctx context.Context, conn *pgx.Conn, changed changedKey) (heard bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, earPatience)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT pg_notify($1, '')", e.end); err != nil {
		return false, fmt.Errorf("notify: %w", err)
	}
	for {
		n, err := e.conn.WaitForNotification(ctx)
		switch {
		case err != nil:
			return false, fmt.Errorf("wait for a notification: %w", err)
		case n.Channel == e.end:
			return heard, nil
		case n.PID == changed.session && apikey.Announces(n.Payload, changed.hash, changed.workspaceID):
			heard = true
		}
	}
}
