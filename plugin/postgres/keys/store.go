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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
)

//go:embed query
var queries embed.FS

var keyQuery = postgres.ReadQuery(queries, "query/key.sql")

// heartbeatSQL waits neither for the disk nor for standbys, as its transaction changes nothing.
// Notifying commits wait for each other; lock_timeout keeps that short enough for lookups not to miss
// the connection.
const heartbeatSQL = "SELECT set_config('lock_timeout', '250ms', true), pg_notify($1, $2)"

// settings make a lookup an index probe whatever the statistics say, as a
// plan may have been made while the table was empty.
var settings = map[string]string{
	"enable_seqscan":  "off",
	"plan_cache_mode": "force_generic_plan",
	"jit":             "off",
}

// errClosed: the store was used after its Close.
var errClosed = errors.New("key store is closed")

// Store looks keys up in hoko.api_keys and hoko.workspaces. It has a pool of its own (see
// postgres.Options.MaxConns), so that sales and lookups do not wait for each other.
type Store struct {
	connector *postgres.Connector
	maxConns  int
	logger    *slog.Logger

	mu     sync.Mutex
	pool   *pgxpool.Pool // nil until the first lookup
	closed bool
}

var _ apikey.Store = (*Store)(nil)

// NewStore returns a Store. It does not connect.
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

// Key returns the key of this hash, whatever its state, or apikey.ErrNotFound. Its other errors are
// those of Keys.
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

// Keys returns those keys of the hashes that exist, whatever their state. The error is an ErrSchema
// if the database lacks the relations. Only ctx bounds the wait for a connection and the answer.
func (s *Store) Keys(ctx context.Context, hashes []apikey.Hash) (map[apikey.Hash]*apikey.Key, error) {
	pool, err := s.connections()
	if err != nil {
		return nil, err
	}
	keys, err := s.lookUp(ctx, pool, hashes)
	switch {
	case postgres.StatementUnusable(err): // on the other connections too, perhaps
		keys, err = s.lookUp(ctx, pool, hashes, pgx.QueryExecModeExec)
	case s.mayRetry(ctx, pool, err):
		keys, err = s.lookUp(ctx, pool, hashes)
	}
	if err != nil {
		return nil, fmt.Errorf("look up keys: %w", postgres.ConnectError(postgres.SchemaError(err)))
	}
	return keys, nil
}

// mayRetry reports whether another connection may do better than the one that failed with err, and
// sees to it that there is another.
func (s *Store) mayRetry(ctx context.Context, pool *pgxpool.Pool, err error) bool {
	switch {
	case s.connector.SettingsRefused(err):
		return true
	case ctx.Err() == nil && connectionLost(err):
		pool.Reset() // a restarted server has ended all connections; the others would fail like this one
		return true
	}
	return false
}

// notify sends a listener's heartbeat. If it fails it may be tried again: the next one uses new
// connections if the old ones were lost.
func (s *Store) notify(ctx context.Context, channel, payload string) error {
	pool, err := s.connections()
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, heartbeatSQL, pgx.QueryExecModeExec, channel, payload) // a pooler forgets prepared statements
	s.mayRetry(ctx, pool, err)
	return err
}

// Close closes the connections and waits for lookups in flight.
func (s *Store) Close() {
	s.mu.Lock()
	pool := s.pool
	s.pool, s.closed = nil, true
	s.mu.Unlock()
	if pool != nil {
		pool.Close()
	}
}

// connections makes the pool when it is first needed: a pool owns a goroutine.
func (s *Store) connections() (pool *pgxpool.Pool, err error) {
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

// lookUp asks once. The options are those of pgx.Conn.Query.
func (s *Store) lookUp(ctx context.Context, pool *pgxpool.Pool, hashes []apikey.Hash, options ...any) (map[apikey.Hash]*apikey.Key, error) {
	asked := make([][]byte, len(hashes))
	for i := range hashes {
		asked[i] = hashes[i][:]
	}
	rows, err := pool.Query(ctx, keyQuery, append(options, asked)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := make(map[apikey.Hash]*apikey.Key, len(hashes))
	for rows.Next() {
		hash, row, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		keys[hash] = row.key(hash, s.logger)
	}
	return keys, rows.Err()
}

// connectionLost distinguishes an established connection that broke from a server that answered, or
// that could not be reached at all.
func connectionLost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.SeverityUnlocalized == "FATAL"
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed)
}
