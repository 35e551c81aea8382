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

// RotatedKey is the new key that replaces an old one.
type RotatedKey struct {
	CreatedKey
	Old KeyInfo // as it is now: it expires
}

// RotateKey creates a key with the workspace, name, rights and expiry of another one, which then
// expires after the grace period, or when it would have expired if that is earlier. which selects
// it as for [RevokeKey]. RotateKey returns an error if the key is revoked or expired, or was
// rotated already.
func RotateKey(ctx context.Context, dsn, which string, grace time.Duration) (rotated RotatedKey, err error) {
	if grace < 0 {
		return RotatedKey{}, fmt.Errorf("the grace period %s is negative", grace)
	}
	err = inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		old, err := lockKey(ctx, tx, which)
		if err != nil {
			return err
		}
		if err := checkRotatable(ctx, tx, old); err != nil {
			return fmt.Errorf("key %s %w", Printable(old.ID), err)
		}
		if rotated.CreatedKey, err = copyKey(ctx, tx, old); err != nil {
			return err
		}
		if rotated.Old, err = expireKey(ctx, tx, old, grace); err != nil {
			return err
		}
		return change{"keys rotate", old.WorkspaceID, old.ID, map[string]string{
			"new_key_id": rotated.ID,
			"new_start":  rotated.Start,
			"expires_at": rotated.Old.ExpiresAt.Format(time.RFC3339Nano),
		}}.record(ctx, tx)
	})
	if err != nil {
		return RotatedKey{}, err
	}
	return rotated, nil
}

// checkRotatable returns an error that continues "key X".
func checkRotatable(ctx context.Context, tx pgx.Tx, key KeyInfo) error {
	switch {
	case !key.RevokedAt.IsZero():
		return fmt.Errorf("was revoked at %s: create a new one", key.RevokedAt.Format(time.RFC3339))
	case !key.ExpiresAt.IsZero() && !key.ExpiresAt.After(time.Now()):
		return fmt.Errorf("expired at %s: create a new one", key.ExpiresAt.Format(time.RFC3339))
	}
	// Unless its expiry has been changed since.
	const query = `SELECT coalesce(details->>'new_key_id', '') FROM hoko.audit
		WHERE command = 'keys rotate' AND key_id = $1 AND details->>'expires_at' = $2 ORDER BY id DESC LIMIT 1`
	var successor string
	err := tx.QueryRow(ctx, query, key.ID, key.ExpiresAt.Format(time.RFC3339Nano)).Scan(&successor)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("cannot be looked up in hoko.audit: %w", postgres.SchemaError(err))
	}
	return fmt.Errorf("was rotated already and expires at %s: its successor is key %s, which you can rotate",
		key.ExpiresAt.Format(time.RFC3339), Printable(successor))
}

// copyKey copies what Postgres stores, which KeyInfo may lack: an invalid limit, for instance.
func copyKey(ctx context.Context, tx pgx.Tx, old KeyInfo) (CreatedKey, error) {
	created, hash := generateFor(old.WorkspaceID)
	const insert = `
INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, allowed_hostnames,
  rate_limit, rate_period, rate_burst, expires_at)
SELECT workspace_id, name, $2, $3, scopes, allowed_hostnames, rate_limit, rate_period, rate_burst, expires_at
FROM hoko.api_keys WHERE id::text = $1
RETURNING id::text`
	if err := tx.QueryRow(ctx, insert, old.ID, hash, created.Start).Scan(&created.ID); err != nil {
		return CreatedKey{}, fmt.Errorf("store key: %w", err)
	}
	return created, nil
}

// expireKey lets the server's clock decide when, as the edges' clocks agree with it.
func expireKey(ctx context.Context, tx pgx.Tx, old KeyInfo, grace time.Duration) (KeyInfo, error) {
	var at pgtype.Timestamptz
	const query = `SELECT least(expires_at, clock_timestamp() + $2) FROM hoko.api_keys WHERE id::text = $1`
	period := pgtype.Interval{Microseconds: grace.Microseconds(), Valid: true}
	if err := tx.QueryRow(ctx, query, old.ID, period).Scan(&at); err != nil {
		return KeyInfo{}, fmt.Errorf("read the expiry of key %s: %w", Printable(old.ID), err)
	}
	expiring, err := setColumns(ctx, tx, old.ID, []column{{"expires_at", at}})
	if err == nil && expiring.ExpiresAt.Equal(old.ExpiresAt) && !at.Time.Equal(old.ExpiresAt) {
		err = ignoredError("api_keys", "expires_at")
	}
	return expiring, err
}
