package ratelimit

import (
	"context"
	"sync"
	"time"
)

// bounded is a context with another's values and an end of its own. It starts a
// timer only when somebody waits for that end, and a call that shares a round
// trip does not.
type bounded struct {
	context.Context // its values
	deadline        time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (b *bounded) Deadline() (time.Time, bool) { return b.deadline, true }
func (b *bounded) Done() <-chan struct{}       { return b.start().Done() }
func (b *bounded) Err() error                  { return b.start().Err() }

func (b *bounded) start() context.Context {
	b.once.Do(func() { b.timed, b.cancel = context.WithDeadline(context.Background(), b.deadline) })
	return b.timed
}

// release ends the context, and its timer where there is one.
func (b *bounded) release() {
	b.once.Do(func() { b.timed, b.cancel = released, func() {} })
	b.cancel()
}

var released = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
