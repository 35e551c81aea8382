package admin

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/postgres"
)

// DemoWorkspace is the ID of [SeedDemo]'s workspace. The IDs of its rows begin with it.
const DemoWorkspace = "hoko_dev"

var demoSQL = postgres.ReadQuery(queries, "query/demo.sql")

// SeedDemo creates a demo workspace with a link, a click, and the customer customer_123, who has a
// lead from that click. Existing rows stay as they are, but a disabled demo workspace is enabled.
// SeedDemo neither reads nor writes rows of other workspaces.
//
// It returns a key of the demo workspace with the scope conversionsWrite: the given key, which is
// stored if it is missing, or a new one if the given key is empty, malformed or not valid.
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
		valid, err := storeDemoKey(ctx, tx, key)
		if valid || err != nil {
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

// storeDemoKey stores a well-formed key unless it exists, and reports whether it is valid.
func storeDemoKey(ctx context.Context, tx pgx.Tx, key string) (valid bool, err error) {
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
	const query = `
SELECT EXISTS (SELECT FROM hoko.api_keys
  WHERE key_hash = $2 AND workspace_id = $1 AND scopes @> '{conversionsWrite}'
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))`
	err = tx.QueryRow(ctx, query, DemoWorkspace, hash[:]).Scan(&valid)
	return valid, err
}
