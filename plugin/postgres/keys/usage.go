package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hoko.to/edge/plugin/postgres"
)

// Use is the last use of a key.
type Use struct {
	KeyID  string
	Minute int64 // since the Unix epoch
}

const (
	// usesPerStatement bounds how long one statement takes. Between two of them, key lookups get
	// the connection.
	usesPerStatement = 500
	// usageTimeout bounds how long key lookups lack the connection if Postgres does not answer.
	usageTimeout = time.Second
)

var (
	recordUsesSQL = postgres.ReadQuery(queries, "query/usage.sql")
	// askUsageSQL asks first, because that keeps errors out of the server's log. A last use is not
	// worth waiting for a lock, the disk or a standby.
	askUsageSQL = postgres.ReadQuery(queries, "query/usage_ask.sql")
)

var errUsage = errors.New("hoko.key_usage does not exist, or the role may not write it " +
	"(run: caddy hoko migrate, then docs/role.sql)")

// RecordUses records in hoko.key_usage when keys were last used, unless a later use is recorded. It
// returns the uses that it has not recorded, and why. Each key must occur once. RecordUses uses one
// connection at a time, in short transactions.
func (s *Store) RecordUses(ctx context.Context, uses []Use) (left []Use, err error) {
	pool, err := s.openPool()
	if err != nil {
		return uses, err
	}
	for len(uses) > 0 {
		n := min(len(uses), usesPerStatement)
		if err := s.recordUses(ctx, pool, uses[:n]); err != nil {
			return uses, fmt.Errorf("record when keys were last used: %w", postgres.ConnectError(err))
		}
		uses = uses[n:]
	}
	return nil, nil
}

// recordUses records uses with one statement.
func (s *Store) recordUses(ctx context.Context, pool *pgxpool.Pool, uses []Use) error {
	ids, minutes := make([]string, len(uses)), make([]int64, len(uses))
	for i, use := range uses {
		ids[i], minutes[i] = use.KeyID, use.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	err := tryRecordUses(ctx, pool, ids, minutes)
	if s.prepareRetry(ctx, pool, err) {
		err = tryRecordUses(ctx, pool, ids, minutes)
	}
	return err
}

// tryRecordUses uses QueryExecModeExec, because poolers lose prepared statements.
func tryRecordUses(ctx context.Context, pool *pgxpool.Pool, ids []string, minutes []int64) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var writable bool
		err := tx.QueryRow(ctx, askUsageSQL, pgx.QueryExecModeExec).Scan(&writable, nil, nil, nil)
		if err != nil {
			return err
		}
		if !writable {
			return errUsage
		}
		_, err = tx.Exec(ctx, recordUsesSQL, pgx.QueryExecModeExec, ids, minutes)
		return err
	})
}
