package backend

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/keys"
)

const (
	usageInterval = time.Minute
	// lastUsageTimeout bounds how long the last write delays a stop.
	lastUsageTimeout = time.Second
)

// usage holds the last uses of keys until they are written to hoko.key_usage.
type usage struct {
	store  *keys.Store
	logger *slog.Logger
	max    int // keys in pending; the uses of others are dropped

	mu      sync.Mutex
	pending map[string]int64 // the last minute by key ID, as in keys.Use

	failing bool // the last write failed; only for the goroutine that writes
}

// Add records that a key is used now.
func (u *usage) Add(keyID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.put(keys.Use{KeyID: keyID, Minute: time.Now().Unix() / 60})
}

// put needs the lock. It keeps the latest use of a key.
func (u *usage) put(use keys.Use) {
	last, known := u.pending[use.KeyID]
	if known && last >= use.Minute || !known && len(u.pending) >= u.max {
		return
	}
	if u.pending == nil {
		u.pending = map[string]int64{}
	}
	u.pending[use.KeyID] = use.Minute
}

// take returns the pending uses and forgets them.
func (u *usage) take() []keys.Use {
	u.mu.Lock()
	pending := u.pending
	u.pending = nil // a map keeps its memory
	u.mu.Unlock()
	uses := make([]keys.Use, 0, len(pending))
	for id, minute := range pending {
		uses = append(uses, keys.Use{KeyID: id, Minute: minute})
	}
	return uses
}

// run writes the uses after half to all of interval, again and again, and when ctx ends.
func (u *usage) run(ctx context.Context, interval time.Duration) {
	for postgres.Pause(ctx, interval) {
		u.write(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUsageTimeout)
	defer cancel()
	u.write(last)
}

// write keeps what it cannot write for the next time. It logs the first failure in a row.
func (u *usage) write(ctx context.Context) {
	uses := u.take()
	if len(uses) == 0 {
		return
	}
	left, err := u.store.RecordUses(ctx, uses)
	u.mu.Lock()
	for _, use := range left {
		u.put(use)
	}
	u.mu.Unlock()
	if ctx.Err() == nil && err != nil && !u.failing {
		u.logger.Warn("the last use of keys cannot be recorded, trying again every minute", slog.Any("error", err))
	}
	u.failing = err != nil
}
