package apikey

import (
	"context"
	"errors"
	"time"
)

const (
	// maxStrangers bounds the lookups of keys that are not cached.
	maxStrangers = 6
	slotWait     = 500 * time.Millisecond
)

// errBusy is the edge's own doing, and says nothing about the store.
var errBusy = errors.New("too many keys are being looked up")

// slots bound the lookups of keys that are not cached. Cached keys have their own batches, so that no
// flood of guesses keeps them waiting.
type slots chan struct{}

// acquire waits a moment for a slot.
func (s slots) acquire(ctx context.Context) (release func(), err error) {
	timeout := time.NewTimer(slotWait)
	defer timeout.Stop()
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-timeout.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
