package backend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
)

const (
	cleanUpInterval = 2 * time.Minute
	// cleanUpTimeout bounds how long key lookups lack the connection that reads the time.
	cleanUpTimeout = 2 * time.Second
)

// cleanUp knows when the idempotency keys were last cleaned, for a metric.
type cleanUp struct {
	store  *keys.Store
	logger *slog.Logger
	at     atomic.Int64 // Unix time, 0 if unknown

	failing bool // the last read failed; only for the goroutine that reads
}

// run reads the time immediately, and again after half to all of interval, until ctx ends.
func (c *cleanUp) run(ctx context.Context, interval time.Duration) {
	for {
		c.read(ctx)
		if !postgres.Pause(ctx, interval) {
			return
		}
	}
}

// read keeps the last known time if there is an error, of which it logs the first.
func (c *cleanUp) read(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, cleanUpTimeout)
	defer cancel()
	at, err := c.store.LastCleanUp(bounded)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && !at.IsZero():
		c.at.Store(at.Unix())
	case err != nil && !c.failing:
		c.logger.Warn("the metric hoko_idempotency_cleanup_timestamp_seconds is not updated", slog.Any("error", err))
	}
	c.failing = err != nil
}
