package admin

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
)

//go:embed query
var queries embed.FS

var keysQuery = postgres.ReadQuery(queries, "query/keys.sql")

// KeyInfo describes a key for people. A time that is null in the database is zero.
type KeyInfo struct {
	ID            string
	WorkspaceID   string
	WorkspaceName string
	Name          string
	Start         string // the first characters of the key
	Scopes        []string
	Hostnames     []string    // empty: all hosts
	Limit         limit.Limit // of the key itself; zero if there is none or it is invalid
	ExpiresAt     time.Time
	RevokedAt     time.Time
	CreatedAt     time.Time
	LastUsedAt    time.Time // in whole minutes; zero if no edge has recorded a use

	WorkspaceDisabled bool
}

// KeyFilter selects keys. The zero value selects all.
type KeyFilter struct {
	// Workspace is the ID or the name of the workspace.
	Workspace string
	// IDPrefix is how the ID begins.
	IDPrefix string
	// Revoked selects only revoked keys.
	Revoked bool
	// UnusedSince selects only keys that are valid, were created before this time, and were not
	// used since.
	UnusedSince time.Time
	// Max is how many keys to return at most. Default: all.
	Max int
}

// ListKeys returns the keys that the filter selects, the newest first.
func ListKeys(ctx context.Context, dsn string, filter KeyFilter) ([]KeyInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	defer postgres.CloseConn(conn)
	if filter.Workspace != "" {
		if filter.Workspace, err = findWorkspace(ctx, conn, filter.Workspace); err != nil {
			return nil, err
		}
	}
	rows, err := queryKeys(ctx, conn, "", filter, "")
	if err != nil {
		return nil, err
	}
	infos := make([]KeyInfo, len(rows))
	for i, row := range rows {
		infos[i] = row.KeyInfo
	}
	return infos, nil
}

// FindKey returns a key. which selects it as for [RevokeKey].
func FindKey(ctx context.Context, dsn, which string) (KeyInfo, error) {
	conn, err := postgres.Connect(ctx, dsn, nil)
	if err != nil {
		return KeyInfo{}, err
	}
	defer postgres.CloseConn(conn)
	return findKey(ctx, conn, which)
}

// findKey returns the key that which selects. Errors do not contain which, as it may be a key.
func findKey(ctx context.Context, q queryer, which string) (KeyInfo, error) {
	if which == "" {
		return KeyInfo{}, errors.New("no key was named: give its ID, its first characters, or the whole key")
	}
	rows, err := queryKeys(ctx, q, which, KeyFilter{}, "")
	if err != nil {
		return KeyInfo{}, err
	}
	if i := slices.IndexFunc(rows, isExact); i >= 0 && !slices.ContainsFunc(rows[i+1:], isExact) {
		return rows[i].KeyInfo, nil
	}
	var ids []string
	for _, row := range rows {
		if len(ids) == maxListed {
			ids = append(ids, "…")
			break
		}
		ids = append(ids, Printable(row.ID))
	}
	switch {
	case len(rows) == 1:
		return rows[0].KeyInfo, nil
	case len(rows) > 1:
		const text = "several keys match, or begin with this; name one by its ID: %s"
		return KeyInfo{}, fmt.Errorf(text, strings.Join(ids, ", "))
	case looksGenerated(which) && len(which) > keyStartChars && !ValidKey(which):
		return KeyInfo{}, errors.New("no such key, and its checksum is wrong: it is mistyped or incomplete")
	}
	return KeyInfo{}, errors.New("no such key")
}

// lockKey returns the key that which selects as it is now, and keeps other sessions from changing
// it until the transaction ends.
func lockKey(ctx context.Context, tx pgx.Tx, which string) (KeyInfo, error) {
	key, err := findKey(ctx, tx, which)
	if err != nil {
		return KeyInfo{}, err
	}
	rows, err := queryKeys(ctx, tx, key.ID, KeyFilter{}, " FOR NO KEY UPDATE OF k")
	if err != nil {
		return KeyInfo{}, err
	}
	for _, row := range rows {
		if row.ID == key.ID {
			return row.KeyInfo, nil
		}
	}
	return KeyInfo{}, fmt.Errorf("key %s was deleted meanwhile", Printable(key.ID))
}

// keyHashes returns the hash of which, and which itself if it may be a hash in hex: keys of other
// gateways may look like one.
func keyHashes(which string) [][]byte {
	whole := sha256.Sum256([]byte(which))
	hashes := [][]byte{whole[:]}
	if hash, err := hex.DecodeString(which); err == nil && len(hash) == len(whole) {
		hashes = append(hashes, hash)
	}
	return hashes
}

// listedKey is a row of query/keys.sql.
type listedKey struct {
	KeyInfo
	exact bool // the key was found by its ID or hash
}

func isExact(k listedKey) bool { return k.exact }

// queryKeys returns the keys that which selects, or all for "", and the filter, whose workspace is
// an ID. lock is the statement's locking clause.
func queryKeys(ctx context.Context, q queryer, which string, f KeyFilter, lock string) ([]listedKey, error) {
	optional := func(text string) pgtype.Text { return pgtype.Text{String: text, Valid: text != ""} }
	// CollectRows returns the error.
	rows, _ := q.Query(ctx, keysQuery+lock, optional(f.Workspace), optional(which), keyHashes(which), f.IDPrefix,
		f.Revoked, timestamp(f.UnusedSince), pgtype.Int8{Int64: int64(f.Max), Valid: f.Max > 0})
	keys, err := pgx.CollectRows(rows, scanListed)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", postgres.SchemaError(err))
	}
	return keys, nil
}

// timestamp returns at as a parameter that is null for the zero time.
func timestamp(at time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: at, Valid: !at.IsZero()}
}

// revocation returns when a key was revoked. A site's view may say infinity or -infinity: edges
// reject the key whatever the time is.
func revocation(at pgtype.Timestamptz) time.Time {
	if at.InfinityModifier == pgtype.Infinity {
		at.InfinityModifier = pgtype.NegativeInfinity
	}
	return postgres.Time(at)
}

func scanListed(row pgx.CollectableRow) (listedKey, error) {
	var k listedKey
	var scopes, hostnames []*string
	var limit postgres.LimitColumns
	var expires, revoked, created, used pgtype.Timestamptz
	err := row.Scan(&k.ID, &k.WorkspaceID, &k.WorkspaceName, &k.Name, &k.Start, &scopes, &hostnames,
		&limit.Rate, &limit.Period, &limit.Burst, &expires, &revoked, &created, &used, &k.WorkspaceDisabled, &k.exact)
	if err != nil {
		return listedKey{}, err
	}
	k.Scopes, k.Hostnames = postgres.Texts(scopes), postgres.Texts(hostnames)
	if l, err := limit.Limit(); err == nil {
		k.Limit = l
	}
	k.ExpiresAt, k.RevokedAt = postgres.Time(expires), revocation(revoked)
	k.CreatedAt, k.LastUsedAt = postgres.Time(created), postgres.Time(used)
	return k, nil
}
