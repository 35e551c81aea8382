package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/postgres"
)

// RevokeKey revokes a key. which is the key's ID, its first characters as in KeyInfo.Start, the
// whole key, or its SHA-256 in hex. Edges reject the key within a second. A key that is already
// revoked keeps its RevokedAt. The edge's role may call it. It returns an error if which matches no
// key or several keys.
func RevokeKey(ctx context.Context, dsn, which string) (KeyInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return KeyInfo{}, err
	}
	defer postgres.CloseConn(conn)
	info, err := findKey(ctx, conn, which)
	if err != nil {
		return KeyInfo{}, err
	}
	var at pgtype.Timestamptz
	err = conn.QueryRow(ctx, `SELECT hoko.revoke_key($1, $2)`, info.ID, osUser()).Scan(&at)
	if err == nil && !at.Valid {
		err = errors.New("it was deleted meanwhile")
	}
	info.RevokedAt = revocation(at)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == pgerrcode.UndefinedFunction {
		err = fmt.Errorf("%w: %w", postgres.ErrSchema, err)
	}
	if err != nil {
		return KeyInfo{}, fmt.Errorf("revoke key %s: %w", Printable(info.ID), viewError(postgres.SchemaError(err)))
	}
	return info, nil
}

// UnrevokeKey makes a revoked key valid again, unless it is expired. which selects it as for
// [RevokeKey]. It returns an error if the key is not revoked.
func UnrevokeKey(ctx context.Context, dsn, which string) (restored KeyInfo, err error) {
	err = inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		key, err := lockKey(ctx, tx, which)
		if err != nil {
			return err
		}
		if key.RevokedAt.IsZero() {
			return fmt.Errorf("key %s is not revoked", Printable(key.ID))
		}
		restored, err = setColumns(ctx, tx, key.ID, []column{{"revoked_at", nil}})
		if err == nil && !restored.RevokedAt.IsZero() {
			err = ignoredError("api_keys", "revoked_at")
		}
		if err != nil {
			return err
		}
		return change{"keys unrevoke", key.WorkspaceID, key.ID,
			map[string]any{"revoked_at": key.RevokedAt}}.record(ctx, tx)
	})
	return restored, err
}
