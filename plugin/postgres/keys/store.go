package keys

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/tracing"
)

//go:embed query
var queries embed.FS

var (
	keyQuery = postgres.ReadQuery(queries, "query/key.sql")
	keyCall  = tracing.PostgresCall("SELECT hoko.api_keys")
)

// heartbeatSQL writes nothing, so its commit waits neither for the disk nor for standbys. It may
// wait for another notifying commit; lock_timeout limits how long lookups lack the connection.
const heartbeatSQL = "SELECT set_config('lock_timeout', '250ms', true), pg_notify($1, $2)"

// settings make each lookup an index probe, even if it was planned while the table was empty.
var settings = map[string]string{
	"enable_seqscan":  "off",
	"plan_cache_mode": "force_generic_plan",
	"jit":             "off",
}

var errClosed = errors.New("key store is closed")

// Store looks up keys in hoko.api_keys and hoko.workspaces. It has its own pool of connections (see
// [postgres.Options.KeyConns]), so that lookups do not wait for sales.
type Store struct {
	connector *postgres.Connector
	maxConns  int
	logger    *slog.Logger

	mu     sync.Mutex
	pool   *pgxpool.Pool // nil until the first lookup
	closed bool
}

var _ apikey.Store = (*Store)(nil)

// NewStore returns a Store without connecting.
func NewStore(o postgres.Options) (*Store, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	connector, err := postgres.NewConnector(o.DSN, settings)
	if err != nil {
		return nil, err
	}
	return &Store{connector: connector, maxConns: o.KeyConns(), logger: o.Logger}, nil
}

// Key returns the key with this hash, even if it is revoked or expired, or [apikey.ErrNotFound].
// Its other errors are those of [Store.Keys].
func (s *Store) Key(ctx context.Context, hash apikey.Hash) (*apikey.Key, error) {
	keys, err := s.Keys(ctx, []apikey.Hash{hash})
	if err != nil {
		return nil, err
	}
	key, ok := keys[hash]
	if !ok {
		return nil, apikey.ErrNotFound
	}
	return key, nil
}

// Keys returns the existing keys among hashes, even if they are revoked or expired. The error wraps
// [postgres.ErrSchema] if a relation or column is missing. Only ctx limits how long Keys takes.
func (s *Store) Keys(ctx context.Context, hashes []apikey.Hash) (map[apikey.Hash]*apikey.Key, error) {
	pool, err := s.openPool()
	if err != nil {
		return nil, err
	}
	keys, err := s.lookUp(ctx, pool, hashes)
	switch {
	case postgres.StatementUnusable(err): // maybe also on the other connections
		keys, err = s.lookUp(ctx, pool, hashes, pgx.QueryExecModeExec)
	case s.prepareRetry(ctx, pool, err):
		keys, err = s.lookUp(ctx, pool, hashes)
	}
	if err != nil {
		return nil, fmt.Errorf("look up keys: %w", postgres.ConnectError(postgres.SchemaError(err)))
	}
	return keys, nil
}

// prepareRetry reports whether a retry may succeed after err. The retry will use a new connection.
func (s *Store) prepareRetry(ctx context.Context, pool *pgxpool.Pool, err error) bool {
	switch {
	case s.connector.SettingsRefused(err):
		return true
	case ctx.Err() == nil && connectionLost(err):
		pool.Reset() // a server restart closes all connections
		return true
	}
	return false
}

// notify sends a heartbeat. If the connection is lost, the next call uses another one.
func (s *Store) notify(ctx context.Context, channel, payload string) error {
	pool, err := s.openPool()
	if err != nil {
		return err
	}
	// QueryExecModeExec, because poolers lose prepared statements.
	_, err = pool.Exec(ctx, heartbeatSQL, pgx.QueryExecModeExec, channel, payload)
	s.prepareRetry(ctx, pool, err)
	return err
}

// LastCleanUp returns when the idempotency keys were last cleaned, the zero time if never.
func (s *Store) LastCleanUp(ctx context.Context) (time.Time, error) {
	pool, err := s.openPool()
	if err != nil {
		return time.Time{}, err
	}
	at, err := postgres.LastCleanUp(ctx, pool)
	if s.prepareRetry(ctx, pool, err) {
		at, err = postgres.LastCleanUp(ctx, pool)
	}
	return at, err
}

// Stats describes the connections of a Store.
type Stats struct {
	Open  int    `json:"open"`
	InUse int    `json:"in_use"`
	Max   int    `json:"max"`
	Waits uint64 `json:"waits"` // lookups and heartbeats that had to wait for a connection
}

// Stats returns the current state.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return Stats{Max: s.maxConns}
	}
	pool := s.pool.Stat()
	return Stats{int(pool.TotalConns()), int(pool.AcquiredConns()), s.maxConns, uint64(pool.EmptyAcquireCount())}
}

// Close waits for lookups in flight and closes the connections. It may be called twice.
func (s *Store) Close() {
	s.mu.Lock()
	pool := s.pool
	s.pool, s.closed = nil, true
	s.mu.Unlock()
	if pool != nil {
		pool.Close()
	}
}

// openPool returns the pool. The first call creates it, because a pool starts a goroutine.
func (s *Store) openPool() (pool *pgxpool.Pool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.pool == nil {
		s.pool, err = s.connector.Pool(s.maxConns)
	}
	return s.pool, err
}

// lookUp runs the query once. The options are those of [pgx.Conn.Query].
func (s *Store) lookUp(
	ctx context.Context, pool *pgxpool.Pool, hashes []apikey.Hash, options ...any,
) (keys map[apikey.Hash]*apikey.Key, err error) {
	arg := make([][]byte, len(hashes))
	for i := range hashes {
		arg[i] = hashes[i][:]
	}
	span := tracing.Of(ctx).Start(keyCall, time.Time{})
	defer func() { postgres.EndSpan(span, time.Time{}, err) }()
	rows, err := pool.Query(ctx, keyQuery, append(options, arg)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys = make(map[apikey.Hash]*apikey.Key, len(hashes))
	for rows.Next() {
		hash, row, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		keys[hash] = row.key(hash, s.logger)
	}
	return keys, rows.Err()
}

// connectionLost reports whether an established connection was lost. It is false if the server
// answered with an error, or could not be reached.
func connectionLost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.SeverityUnlocalized == "FATAL"
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed)
}
