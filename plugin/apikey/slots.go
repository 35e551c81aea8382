package apikey

import (
	"context"
	"errors"
	"time"
)

const (
	strangersAtOnce = 6
	slotWait        = 500 * time.Millisecond
)

// errBusy is the edge's own doing, and says nothing about the store.
var errBusy = errors.New("too many keys are being looked up")

// slots bound the lookups of keys that are not cached. Those that are have
// batches of their own, so that no flood of guesses keeps them waiting.
type slots chan struct{}

func newSlots() slots { return make(slots, strangersAtOnce) }

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
