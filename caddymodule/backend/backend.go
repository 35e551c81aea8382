// Package backend holds the Postgres and Redis resources that configs with the same settings share:
// connections, caches, the listener, the recorder, and their metrics.
package backend

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// Backend is what configs with the same settings share. Until it is started, it has neither
// goroutines nor connections.
type Backend struct {
	Keys     *apikey.Authenticator
	Limiter  *ratelimit.Limiter
	Recorder *sale.Recorder
	Metrics  *prometheus.Registry

	saleTimeout time.Duration
	since       time.Time
	log         logHandler
	keyStore    *keys.Store
	saleStore   *sales.Store
	listener    *keys.Listener

	once     sync.Once
	stop     context.CancelFunc // of the listener, nil before start
	listened chan struct{}      // closed when the listener has ended
}

func newBackend(s Settings) (*Backend, error) {
	b := &Backend{
		Metrics:     prometheus.NewRegistry(),
		saleTimeout: s.Sales.Timeout,
		since:       time.Now(),
		log:         newLogHandler(),
	}
	if err := b.assemble(s); err != nil {
		b.Close(context.Background())
		return nil, err
	}
	return b, nil
}

// assemble creates the parts. None of them connects or starts anything.
func (b *Backend) assemble(s Settings) (err error) {
	logger := slog.New(b.log)
	s.Postgres.Logger, s.Postgres.Metrics = logger, b.Metrics
	s.Keys.Logger, s.Keys.Metrics = logger, b.Metrics
	s.Limits.Logger, s.Limits.Metrics = logger, b.Metrics
	s.Sales.Logger, s.Sales.Metrics = logger, b.Metrics

	if b.keyStore, err = keys.NewStore(s.Postgres); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
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

// start begins to listen for changed keys. The goroutine ends with Close.
func (b *Backend) start() {
	b.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		b.stop, b.listened = cancel, make(chan struct{})
		go func() {
			defer close(b.listened)
			_ = b.listener.Run(ctx) // ends with ctx only
		}()
	})
}

// drainMargin is how long Destruct waits beyond the time that a sale may take.
const drainMargin = 2 * time.Second

// Destruct closes the backend. The pool calls it when the last lease has ended.
func (b *Backend) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), b.saleTimeout+drainMargin)
	defer cancel()
	b.Close(ctx)
	return nil
}

// Close answers all accepted sales, until ctx ends, and stops everything that was started. Later
// requests are answered 503.
func (b *Backend) Close(ctx context.Context) {
	b.once.Do(func() {}) // waits for a start, and prevents a later one
	if b.saleStore != nil {
		if err := b.saleStore.Close(ctx); err != nil {
			slog.New(b.log).Error("sales were cut off", slog.Any("error", err))
		}
	}
	if b.stop != nil {
		b.stop()
		<-b.listened
	}
	if b.Keys != nil {
		b.Keys.Close()
	}
	if b.keyStore != nil {
		b.keyStore.Close()
	}
	if b.Limiter != nil {
		b.Limiter.Close()
	}
}

// State is the state of a backend, for the admin endpoint.
type State struct {
	Since time.Time `json:"since"`
	// Configs that share it, including those that have just ended.
	Configs int             `json:"configs"`
	Keys    apikey.Stats    `json:"keys"`
	Limits  ratelimit.Stats `json:"limits"`
	Sales   sales.Stats     `json:"sales"`
}

// States returns the states of all backends, oldest first. After a reload with other settings there
// are several until the requests of the old config have ended.
func States() []State {
	running := make(map[any]*Backend)
	backends.Range(func(hash, value any) bool {
		running[hash] = value.(*Backend)
		return true
	})
	all := []State{}
	for hash, b := range running {
		configs, _ := backends.References(hash)
		all = append(all, State{b.since, configs, b.Keys.Stats(), b.Limiter.Stats(), b.saleStore.Stats()})
	}
	slices.SortFunc(all, func(a, b State) int { return a.Since.Compare(b.Since) })
	return all
}

// Collector passes a backend's metrics to a config's registry, which is new with each config, while
// the metrics keep counting. It describes none of them, so that a config does not fail if another
// module has a metric of the same name.
type Collector struct{ Backend *Backend }

// Describe sends nothing.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the backend's metrics.
func (c Collector) Collect(metrics chan<- prometheus.Metric) { c.Backend.Metrics.Collect(metrics) }
