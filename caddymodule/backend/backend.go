// Package backend provides the resources that Caddy configs with the same settings share:
// connections to Postgres and Redis, caches, the listener for changed keys, the recorder of sales,
// and their metrics. ARCHITECTURE.md, "Backends across reloads", describes their life cycle.
package backend

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// Backend is what configs with the same settings share. Until [Lease.Use] starts it, it has no
// goroutines and no connections.
type Backend struct {
	Keys     *apikey.Authenticator
	Limiter  *ratelimit.Limiter
	Recorder *sale.Recorder

	saleTimeout time.Duration
	since       time.Time
	log         logHandler
	keyStore    *keys.Store
	saleStore   *sales.Store
	listener    *keys.Listener
	redisCheck  throttledCheck
	cleanUp     cleanUp
	usage       usage
	started     atomic.Bool
	counted     poolCounts // guarded by pools

	once    sync.Once
	stop    context.CancelFunc // of running; nil before start
	running sync.WaitGroup     // the goroutines of the listener, of cleanUp and of usage
}

func newBackend(s Settings) (*Backend, error) {
	b := &Backend{
		saleTimeout: s.Sales.Timeout,
		since:       time.Now(),
		log:         newLogHandler(),
	}
	if err := b.assemble(s); err != nil {
		b.Close(context.Background())
		return nil, err
	}
	pools.add(b)
	return b, nil
}

func (b *Backend) assemble(s Settings) (err error) {
	logger := slog.New(b.log)
	s.Postgres.Logger, s.Postgres.Metrics = logger, Metrics
	s.Keys.Logger, s.Keys.Metrics = logger, Metrics
	s.Limits.Logger, s.Limits.Metrics = logger, Metrics
	s.Sales.Logger, s.Sales.Metrics = logger, Metrics

	if b.keyStore, err = keys.NewStore(s.Postgres); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	b.cleanUp.store, b.cleanUp.logger = b.keyStore, logger
	b.usage.store, b.usage.logger, b.usage.max = b.keyStore, logger, s.Keys.Size
	s.Keys.Uses = &b.usage
	if b.saleStore, err = sales.NewStore(s.Postgres); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if b.Keys, err = apikey.New(b.keyStore, s.Keys); err != nil {
		return fmt.Errorf("key_cache: %w", err)
	}
	if b.listener, err = keys.NewListener(s.Postgres, b.keyStore, b.Keys); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if b.Limiter, err = ratelimit.New(s.Limits); err != nil {
		return err
	}
	b.Recorder, err = sale.NewRecorder(b.saleStore, s.Sales)
	return err
}

// start starts the listener, cleanUp and usage, which Close stops.
func (b *Backend) start() {
	b.once.Do(func() {
		b.started.Store(true)
		ctx, cancel := context.WithCancel(context.Background())
		b.stop = cancel
		b.running.Go(func() { _ = b.listener.Run(ctx) }) // returns only when ctx ends
		b.running.Go(func() { b.cleanUp.run(ctx, cleanUpInterval) })
		b.running.Go(func() { b.usage.run(ctx, usageInterval) })
	})
}

// drainMargin is how much longer Destruct waits than a sale may take.
const drainMargin = 2 * time.Second

// Destruct closes the backend. The [caddy.UsagePool] calls it when the last lease has ended.
func (b *Backend) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), b.saleTimeout+drainMargin)
	defer cancel()
	b.Close(ctx)
	return nil
}

// Close waits until all accepted sales are answered, or until ctx ends, and closes everything that
// the backend uses. Later requests are answered 503.
func (b *Backend) Close(ctx context.Context) {
	b.once.Do(func() {}) // waits for a running start and prevents a later one
	if b.saleStore != nil {
		if err := b.saleStore.Close(ctx); err != nil {
			slog.New(b.log).Error("sales were cut off", slog.Any("error", err))
		}
	}
	if b.stop != nil {
		b.stop()
		b.running.Wait()
	}
	if b.Keys != nil {
		b.Keys.Close()
	}
	pools.remove(b) // while its pools can still be read
	if b.keyStore != nil {
		b.keyStore.Close()
	}
	if b.Limiter != nil {
		b.Limiter.Close()
	}
}

// State is the state of a backend, as the admin endpoint /hoko/ shows it.
type State struct {
	Since   time.Time       `json:"since"`   // when the backend was created
	Configs int             `json:"configs"` // that have a lease, including some that have ended
	Keys    apikey.Stats    `json:"keys"`
	Limits  ratelimit.Stats `json:"limits"`
	Sales   sales.Stats     `json:"sales"`

	KeyConns     keys.Stats `json:"key_connections"`
	HeartbeatLag float64    `json:"heartbeat_lag_seconds"` // from Postgres to the listener, of the last one

	started   bool
	cleanedAt int64 // Unix time, 0 if unknown
}

// States returns the states of all backends, oldest first. After a reload with other settings,
// there are several until the leases of the old config have ended.
func States() []State {
	running := make(map[any]*Backend)
	backends.Range(func(hash, value any) bool {
		running[hash] = value.(*Backend)
		return true
	})
	all := []State{}
	for hash, b := range running {
		configs, _ := backends.References(hash)
		all = append(all, State{
			Since: b.since, Configs: configs,
			Keys: b.Keys.Stats(), Limits: b.Limiter.Stats(), Sales: b.saleStore.Stats(),
			KeyConns: b.keyStore.Stats(), HeartbeatLag: b.listener.HeartbeatLag().Seconds(),
			started: b.started.Load(), cleanedAt: b.cleanUp.at.Load(),
		})
	}
	slices.SortFunc(all, func(a, b State) int { return a.Since.Compare(b.Since) })
	return all
}
