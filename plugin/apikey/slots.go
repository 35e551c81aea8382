package apikey

import (
	"context"
	"errors"
	"time"
)

const (
	openSlots     = 6
	reservedSlots = 2
	slotWait      = 500 * time.Millisecond
)

var errBusy = errors.New("too many keys are being looked up")

// slots bound the lookups that run at once. Two of the eight are kept for keys
// that the edge has seen hold, so that no flood of guesses keeps those from
// being verified again.
type slots struct{ open, reserved chan struct{} }

func newSlots() slots {
	return slots{make(chan struct{}, openSlots), make(chan struct{}, reservedSlots)}
}

// acquire waits a moment for a slot.
func (s slots) acquire(ctx context.Context, known bool) (release func(), err error) {
	reserved := s.reserved
	if !known {
		reserved = nil // which is never ready
	}
	timeout := time.NewTimer(slotWait)
	defer timeout.Stop()
	select {
	case s.open <- struct{}{}:
		return func() { <-s.open }, nil
	case reserved <- struct{}{}:
		return func() { <-s.reserved }, nil
	case <-timeout.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
