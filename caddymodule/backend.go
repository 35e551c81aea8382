package caddymodule

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/ratelimit"
	"hoko.to/edge/plugin/sale"
)

// backend is what configs of the same settings share: caches, connections and
// counters. Until start it has neither goroutines nor connections.
type backend struct {
	settings settings
	since    time.Time
	log      relay
	metrics  *prometheus.Registry

	keyStore  *keys.Store
	saleStore *sales.Store
	listener  *keys.Listener
	keys      *apikey.Authenticator
	limiter   *ratelimit.Limiter
	recorder  *sale.Recorder

	once     sync.Once
	stop     context.CancelFunc // of the listener, nil before start
	listened chan struct{}      // closed when the listener has ended
}

func newBackend(s settings) (*backend, error) {
	b := &backend{settings: s, since: time.Now(), log: newRelay(), metrics: prometheus.NewRegistry()}
	if err := b.assemble(slog.New(b.log)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// assemble makes the parts. None of them connects or starts anything.
func (b *backend) assemble(logger *slog.Logger) (err error) {
	s, options := b.settings, b.settings.postgres(logger, b.metrics)
	if b.keyStore, err = keys.NewStore(options); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if b.saleStore, err = sales.NewStore(options); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	b.keys, err = apikey.New(b.keyStore, apikey.Options{
		Size:    s.cacheSize,
		TTL:     s.cacheTTL,
		Stale:   s.cacheStale,
		Guesses: limit.Limit{Rate: s.guessRate, Period: s.guessPeriod, Burst: s.guessRate},
		Logger:  logger,
		Metrics: b.metrics,
	})
	if err != nil {
		return fmt.Errorf("key_cache: %w", err)
	}
	if b.listener, err = keys.NewListener(options, b.keyStore, b.keys); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	b.limiter, err = ratelimit.New(ratelimit.Options{
		URL:     s.redisURL,
		Prefix:  s.redisPrefix,
		Timeout: s.redisTimeout,
		Logger:  logger,
		Metrics: b.metrics,
	})
	if err != nil {
		return err
	}
	b.recorder, err = sale.NewRecorder(b.saleStore, sale.RecorderOptions{Timeout: s.saleTimeout, Logger: logger, Metrics: b.metrics})
	return err
}

// start begins to listen for changed keys. The goroutine ends with close.
func (b *backend) start() {
	b.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		b.stop, b.listened = cancel, make(chan struct{})
		go func() {
			defer close(b.listened)
			_ = b.listener.Run(ctx) // ends with ctx only
		}()
	})
}

// Destruct closes the backend. The pool calls it when the last lease has ended.
func (b *backend) Destruct() error {
	b.close()
	return nil
}

// drainMargin is what closing waits beyond the time that a sale may take.
const drainMargin = 2 * time.Second

// close answers all accepted sales and ends everything that was started. A
// request that comes all the same is answered 503.
func (b *backend) close() {
	b.once.Do(func() {}) // waits for a start, and keeps a later one from happening
	if b.saleStore != nil {
		ctx, cancel := context.WithTimeout(context.Background(), b.settings.saleTimeout+drainMargin)
		defer cancel()
		if err := b.saleStore.Close(ctx); err != nil {
			slog.New(b.log).Error("sales were cut off", slog.Any("error", err))
		}
	}
	if b.stop != nil {
		b.stop()
		<-b.listened
	}
	if b.keys != nil {
		b.keys.Close()
	}
	if b.keyStore != nil {
		b.keyStore.Close()
	}
	if b.limiter != nil {
		b.limiter.Close()
	}
}

// collector passes a backend's metrics on to a config's registry, which is new
// with each config, while they go on counting. It describes none of them, so a
// config does not fail for a name that another module has, too.
type collector struct{ metrics *prometheus.Registry }

func (collector) Describe(chan<- *prometheus.Desc)           {}
func (c collector) Collect(metrics chan<- prometheus.Metric) { c.metrics.Collect(metrics) }
