package keys

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

var findQuery = postgres.ReadQuery(queries, "query/find.sql")

// AmbiguousError is the error of [Store.Find] if several keys begin with the same characters.
type AmbiguousError struct{ IDs []string } // at most 11

func (e *AmbiguousError) Error() string {
	return "several keys begin with this; name one by its ID: " + strings.Join(e.IDs, ", ")
}

// Find returns the hash of the key with this ID or, if there is none, with these first characters.
// It returns [apikey.ErrNotFound], an *AmbiguousError, or an error if Postgres does not answer.
// Without an index on key_start, it reads all keys: do not use it for requests.
func (s *Store) Find(ctx context.Context, which string) (hash apikey.Hash, err error) {
	if !utf8.ValidString(which) || strings.Contains(which, "\x00") { // Postgres has no such text
		return hash, apikey.ErrNotFound
	}
	pool, err := s.openPool()
	if err != nil {
		return hash, err
	}
	// QueryExecModeExec, because it is too seldom to be prepared. CollectRows returns the error.
	rows, _ := pool.Query(ctx, findQuery, pgx.QueryExecModeExec, which)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		ID   string
		Hash []byte
		ByID bool
	}])
	switch {
	case err != nil:
		s.prepareRetry(ctx, pool, err) // for the next call
		return hash, fmt.Errorf("find key: %w", postgres.ConnectError(postgres.SchemaError(err)))
	case len(found) == 0:
		return hash, apikey.ErrNotFound
	case len(found) > 1 && !found[0].ByID:
		ambiguous := new(AmbiguousError)
		for _, key := range found {
			ambiguous.IDs = append(ambiguous.IDs, key.ID)
		}
		return hash, ambiguous
	}
	copy(hash[:], found[0].Hash)
	return hash, nil
}
