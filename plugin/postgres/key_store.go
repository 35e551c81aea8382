package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hoko.to/edge/plugin/apikey"
)

//go:embed query/key.sql
var keyQuery string

// lookupTimeout bounds a lookup, waiting for a connection included.
const lookupTimeout = 3 * time.Second

// keySettings make a lookup an index probe whatever the statistics say, as a
// plan may have been made while the table was empty.
var keySettings = map[string]string{
	"enable_seqscan":  "off",
	"plan_cache_mode": "force_generic_plan",
	"jit":             "off",
}

// errKeyStoreClosed: the store was used after its Close.
var errKeyStoreClosed = errors.New("key store is closed")

// KeyStore looks keys up in hoko.api_keys and hoko.workspaces, over connections
// of its own (see Options.MaxConns), so that sales and lookups do not wait for
// each other.
type KeyStore struct {
	config *pgxpool.Config
	logger *slog.Logger
	// bare: a PgBouncer in between refuses keySettings. They are then the role's.
	bare atomic.Bool

	mu     sync.Mutex
	pool   *pgxpool.Pool // nil until the first lookup
	closed bool
}

var _ apikey.Store = (*KeyStore)(nil)

// NewKeyStore connects to nothing yet.
func NewKeyStore(o Options) (*KeyStore, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	config, err := poolConfig(o.DSN, keySettings)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(o.keyConns())
	store := &KeyStore{config: config, logger: o.Logger}
	config.BeforeConnect = store.strip
	return store, nil
}

// Key is the key of this hash, whatever its state, or apikey.ErrNotFound. Other
// errors are those of Keys.
func (s *KeyStore) Key(ctx context.Context, hash apikey.Hash) (*apikey.Key, error) {
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

// Keys are those of these hashes that there are, whatever their state; the error
// is an ErrSchema where the database lacks the relations.
func (s *KeyStore) Keys(ctx context.Context, hashes []apikey.Hash) (map[apikey.Hash]*apikey.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	pool, err := s.connections()
	if err != nil {
		return nil, err
	}
	keys, err := s.lookUp(ctx, pool, hashes)
	switch {
	case settingsRefused(err):
		s.bare.Store(true)
		keys, err = s.lookUp(ctx, pool, hashes)
	case ctx.Err() == nil && connectionLost(err):
		// A restarted server has ended all connections; another of them would fail as this one.
		pool.Reset()
		keys, err = s.lookUp(ctx, pool, hashes)
	}
	if err != nil {
		return nil, fmt.Errorf("look up keys: %w", schemaError(err))
	}
	return keys, nil
}

// Close ends the connections, and waits for lookups in flight.
func (s *KeyStore) Close() {
	s.mu.Lock()
	pool := s.pool
	s.pool, s.closed = nil, true
	s.mu.Unlock()
	if pool != nil {
		pool.Close()
	}
}

// connections makes the pool when it is first needed: a pool owns a goroutine.
func (s *KeyStore) connections() (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errKeyStoreClosed
	}
	if s.pool == nil {
		pool, err := pgxpool.NewWithConfig(context.Background(), s.config)
		if err != nil {
			return nil, fmt.Errorf("make connection pool: %w", err)
		}
		s.pool = pool
	}
	return s.pool, nil
}

// strip makes a connection do without the settings that a PgBouncer refused.
func (s *KeyStore) strip(_ context.Context, config *pgx.ConnConfig) error {
	if s.bare.Load() {
		maps.DeleteFunc(config.RuntimeParams, func(name, value string) bool { return keySettings[name] == value })
	}
	return nil
}

func (s *KeyStore) lookUp(ctx context.Context, pool *pgxpool.Pool, hashes []apikey.Hash) (map[apikey.Hash]*apikey.Key, error) {
	asked := make([][]byte, len(hashes))
	for i := range hashes {
		asked[i] = hashes[i][:]
	}
	rows, err := pool.Query(ctx, keyQuery, asked)
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

// connectionLost tells an established connection that broke from a server that
// answered, or that could not be reached at all.
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
