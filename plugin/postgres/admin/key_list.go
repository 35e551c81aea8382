package admin

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

//go:embed query/keys.sql
var keysQuery string

// KeyInfo is a key as people see it. A time that is not set is zero.
type KeyInfo struct {
	ID            string
	WorkspaceID   string
	WorkspaceName string
	Name          string
	Start         string // its first characters
	Scopes        []string
	Hostnames     []string    // empty allows any
	Limit         limit.Limit // its own; zero where it has none or an invalid one
	ExpiresAt     time.Time
	RevokedAt     time.Time
	CreatedAt     time.Time
	// WorkspaceDisabled: no key of its workspace is admitted.
	WorkspaceDisabled bool
}

// ListKeys returns the keys of a workspace (its id or name), or of all for "",
// the newest first, revoked ones too.
func ListKeys(ctx context.Context, dsn, workspace string) ([]KeyInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	defer postgres.CloseConn(conn)
	var workspaceID *string
	if workspace != "" {
		found, err := findWorkspace(ctx, conn, workspace)
		if err != nil {
			return nil, err
		}
		workspaceID = &found
	}
	rows, err := queryKeys(ctx, conn, workspaceID, nil, nil)
	if err != nil {
		return nil, err
	}
	infos := make([]KeyInfo, len(rows))
	for i, row := range rows {
		infos[i] = row.KeyInfo
	}
	return infos, nil
}

// RevokeKey revokes the one key that which names: its id, its first characters
// as ListKeys shows them, the whole key, or its SHA-256 in hex. Edges refuse it
// within a second. A key that was revoked before keeps that time.
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
	const revoke = `UPDATE hoko.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id::text = $1 RETURNING revoked_at`
	if err := conn.QueryRow(ctx, revoke, info.ID).Scan(&info.RevokedAt); err != nil {
		return KeyInfo{}, fmt.Errorf("revoke key %s: %w", info.ID, postgres.SchemaError(err))
	}
	return info, nil
}

// findKey never repeats which: it may be a key.
func findKey(ctx context.Context, conn *pgx.Conn, which string) (KeyInfo, error) {
	if which == "" {
		return KeyInfo{}, errors.New("no key was named: give its id, its first characters, or the whole key")
	}
	rows, err := queryKeys(ctx, conn, nil, &which, hashOf(which))
	if err != nil {
		return KeyInfo{}, err
	}
	var ids []string
	for _, row := range rows {
		if row.exact {
			return row.KeyInfo, nil
		}
		ids = append(ids, row.ID)
	}
	switch {
	case len(rows) == 1:
		return rows[0].KeyInfo, nil
	case len(rows) > 1:
		return KeyInfo{}, fmt.Errorf("several keys start like this; name one by its id: %s", strings.Join(ids, ", "))
	case looksGenerated(which) && len(which) > keyStartChars && !ValidKey(which):
		return KeyInfo{}, errors.New("no such key, and its checksum does not hold: it is mistyped or not whole")
	}
	return KeyInfo{}, errors.New("no such key")
}

// hashOf takes the hash itself, or a key.
func hashOf(which string) []byte {
	if hash, err := hex.DecodeString(which); err == nil && len(hash) == len(apikey.Hash{}) {
		return hash
	}
	hash := sha256.Sum256([]byte(which))
	return hash[:]
}

type listedKey struct {
	KeyInfo
	exact bool
}

func queryKeys(ctx context.Context, conn *pgx.Conn, workspaceID, which *string, hash []byte) ([]listedKey, error) {
	rows, _ := conn.Query(ctx, keysQuery, workspaceID, which, hash) // CollectRows returns its error
	keys, err := pgx.CollectRows(rows, scanListed)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", postgres.SchemaError(err))
	}
	return keys, nil
}

func scanListed(row pgx.CollectableRow) (listedKey, error) {
	var k listedKey
	var scopes, hostnames []*string
	var limit postgres.LimitColumns
	var expires, revoked, created pgtype.Timestamptz
	err := row.Scan(&k.ID, &k.WorkspaceID, &k.WorkspaceName, &k.Name, &k.Start, &scopes, &hostnames,
		&limit.Rate, &limit.Period, &limit.Burst, &expires, &revoked, &created, &k.WorkspaceDisabled, &k.exact)
	if err != nil {
		return listedKey{}, err
	}
	k.Scopes, k.Hostnames = postgres.Texts(scopes), postgres.Texts(hostnames)
	if l, err := limit.Limit(); err == nil {
		k.Limit = l
	}
	k.ExpiresAt, k.RevokedAt, k.CreatedAt = postgres.Time(expires), postgres.Time(revoked), postgres.Time(created)
	return k, nil
}
