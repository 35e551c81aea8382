package admin

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

// DemoWorkspace is the id of the workspace that SeedDemo makes, and the
// beginning of the ids of its rows.
const DemoWorkspace = "hoko_dev"

var demoSQL = postgres.ReadQuery(queries, "query/demo.sql")

// SeedDemo gives the database a workspace to try the edge with, where it has
// none: a link, a click on it, and the customer customer_123, who is a lead of
// that click. Rows of other workspaces are neither read nor written.
//
// It returns a key of that workspace with the scope conversionsWrite: the given
// one, which is stored where it is missing, or a new one where the given one is
// empty, malformed, or does not hold any more.
func SeedDemo(ctx context.Context, dsn, key string) (string, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return "", err
	}
	defer postgres.CloseConn(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, demoSQL); err != nil {
			return err
		}
		holds, err := storeDemoKey(ctx, tx, key)
		if holds || err != nil {
			return err
		}
		key = GenerateKey()
		_, err = storeDemoKey(ctx, tx, key)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("seed workspace %s: %w", DemoWorkspace, err)
	}
	return key, nil
}

// storeDemoKey stores a key unless it is there, and reports whether it holds.
func storeDemoKey(ctx context.Context, tx pgx.Tx, key string) (holds bool, err error) {
	if !ValidKey(key) {
		return false, nil
	}
	hash := sha256.Sum256([]byte(key))
	const insert = `
INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes)
VALUES ($1, 'demo', $2, $3, '{conversionsWrite}')
ON CONFLICT DO NOTHING`
	if _, err := tx.Exec(ctx, insert, DemoWorkspace, hash[:], key[:keyStartChars]); err != nil {
		return false, err
	}
	const question = `
SELECT EXISTS (SELECT FROM hoko.api_keys
  WHERE key_hash = $2 AND workspace_id = $1 AND scopes @> '{conversionsWrite}'
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))`
	err = tx.QueryRow(ctx, question, DemoWorkspace, hash[:]).Scan(&holds)
	return holds, err
}
