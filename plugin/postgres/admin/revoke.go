package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/apikey"
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
	info.RevokedAt = postgres.Time(at)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == pgerrcode.UndefinedFunction {
		err = fmt.Errorf("%w: %w", postgres.ErrSchema, err)
	}
	if err != nil {
		return KeyInfo{}, fmt.Errorf("revoke key %s: %w", info.ID, postgres.SchemaError(err))
	}
	return info, nil
}

// findKey returns the key that which selects. Errors do not contain which, as it may be a key.
func findKey(ctx context.Context, conn *pgx.Conn, which string) (KeyInfo, error) {
	if which == "" {
		return KeyInfo{}, errors.New("no key was named: give its ID, its first characters, or the whole key")
	}
	rows, err := queryKeys(ctx, conn, nil, &which, keyHash(which))
	if err != nil {
		return KeyInfo{}, err
	}
	var ids []string
	for _, row := range rows {
		if row.exact {
			return row.KeyInfo, nil
		}
		ids = append(ids, Printable(row.ID))
	}
	switch {
	case len(rows) == 1:
		return rows[0].KeyInfo, nil
	case len(rows) > 1:
		return KeyInfo{}, fmt.Errorf("several keys begin with this; name one by its ID: %s", strings.Join(ids, ", "))
	case looksGenerated(which) && len(which) > keyStartChars && !ValidKey(which):
		return KeyInfo{}, errors.New("no such key, and its checksum is wrong: it is mistyped or incomplete")
	}
	return KeyInfo{}, errors.New("no such key")
}

// keyHash returns the hash if which is one in hex, or else the hash of which.
func keyHash(which string) []byte {
	if hash, err := hex.DecodeString(which); err == nil && len(hash) == len(apikey.Hash{}) {
		return hash
	}
	hash := sha256.Sum256([]byte(which))
	return hash[:]
}
