package keys

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

var findQuery = postgres.ReadQuery(queries, "query/find.sql")

// MaxFound is the maximum number of keys that Find returns.
const MaxFound = 11

// Found is a key, and what people distinguish it by. Texts may contain anything.
type Found struct {
	apikey.Key
	Start         string // the first characters of the key
	Name          string
	WorkspaceName string
}

// Find returns the key whose ID or whose hash in hex is which, or else the keys that begin with it,
// as stored in key_start: at most MaxFound, the newest first, even if they are revoked or expired.
// It may read all keys, so one call runs at a time. Its errors are those of [Store.Keys].
func (s *Store) Find(ctx context.Context, which string) ([]Found, error) {
	select {
	case s.finding <- struct{}{}: // lookups of requests have the other connections
		defer func() { <-s.finding }()
	case <-ctx.Done():
		return nil, fmt.Errorf("find a key: %w", context.Cause(ctx))
	}
	pool, err := s.openPool()
	if err != nil {
		return nil, err
	}
	var found []Found
	err = s.retry(ctx, pool, func(options ...any) (err error) {
		found, err = s.find(ctx, pool, which, options...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find a key: %w", postgres.ConnectError(postgres.SchemaError(err)))
	}
	return found, nil
}

func (s *Store) find(ctx context.Context, pool *pgxpool.Pool, which string, options ...any) ([]Found, error) {
	hash, err := hex.DecodeString(which)
	if err != nil || len(hash) != len(apikey.Hash{}) {
		hash = nil
	}
	rows, err := pool.Query(ctx, findQuery, append(options, which, hash)...)
	if err != nil {
		return nil, err
	}
	exact := 0 // rows, which come first
	found, err := pgx.CollectRows(rows, func(pgx.CollectableRow) (f Found, err error) {
		var isExact bool
		hash, row, err := scanRow(rows, &f.Start, &f.Name, &f.WorkspaceName, &isExact)
		if err != nil {
			return f, err
		}
		f.Key = *row.key(hash, s.logger)
		if isExact {
			exact++
		}
		return f, nil
	})
	if exact > 0 {
		found = found[:exact]
	}
	return found, err
}
