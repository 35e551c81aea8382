package ratelimit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxInFlight bounds the concurrent round trips to a node. With one, a hanging connection
	// would delay every call. With more, fewer calls share a round trip.
	maxInFlight = 2

	// maxBatch bounds the calls of one round trip. Redis takes about a millisecond for that many.
	maxBatch = 128
)

// pipeliner makes concurrent calls of the script share round trips to their node. While fewer than
// maxInFlight round trips are in flight, a call is sent immediately and alone. Later calls wait for
// the first of them to end, and are then sent together. There is no timer, so a lone call is not
// delayed.
//
// It is a hook of the node's client. A Cluster's client therefore routes each call before it gets
// here, and follows redirects afterwards.
type pipeliner struct {
	client  *redis.Client
	breaker *breaker
	timers  sync.Pool

	mu       sync.Mutex
	inFlight int
	waiting  []*batch // all but the last are full
}

// batch is the calls of one round trip.
type batch struct {
	calls []call
	done  chan struct{} // closed when every call has its reply
}

// call is a caller's command. A copy of it is sent, because the caller may return before the reply
// arrives.
type call struct {
	args     []any
	deadline time.Time
	sent     *redis.Cmd // nil if the deadline had passed
}

func (p *pipeliner) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *pipeliner) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook sends a call of the script, alone or in a batch. It leaves all else, and calls while
// the breaker is open, to the next hook.
func (p *pipeliner) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		deadline, ok := ctx.Deadline()
		if !ok || !time.Now().Before(deadline) || !isScript(cmd) || isOpen(p.breaker.epoch.Load()) {
			return next(ctx, cmd)
		}
		b, i := p.join(call{args: cmd.Args(), deadline: deadline})
		if b == nil {
			defer p.release()
			return next(ctx, cmd)
		}
		if !p.wait(b, deadline) || b.calls[i].sent == nil {
			return context.DeadlineExceeded
		}
		sent := b.calls[i].sent
		cmd.(*redis.Cmd).SetVal(sent.Val())
		return sent.Err()
	}
}

// join adds the call to a batch and returns its index there. It returns nil if the call may be sent
// immediately; release must then follow.
func (p *pipeliner) join(c call) (b *batch, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight < maxInFlight {
		p.inFlight++
		return nil, 0
	}
	if n := len(p.waiting); n > 0 && len(p.waiting[n-1].calls) < maxBatch {
		b = p.waiting[n-1]
	} else {
		b = &batch{calls: make([]call, 0, 16), done: make(chan struct{})}
		p.waiting = append(p.waiting, b)
	}
	b.calls = append(b.calls, c)
	return b, len(b.calls) - 1
}

// wait reports whether the batch was done before the deadline.
func (p *pipeliner) wait(b *batch, deadline time.Time) bool {
	timer, ok := p.timers.Get().(*time.Timer)
	if ok {
		timer.Reset(time.Until(deadline))
	} else {
		timer = time.NewTimer(time.Until(deadline))
	}
	defer func() {
		timer.Stop()
		p.timers.Put(timer)
	}()
	select {
	case <-b.done:
		return true
	case <-timer.C:
		return false
	}
}

// release ends the round trip of a lone call. If batches wait, a goroutine sends them one after the
// other.
func (p *pipeliner) release() {
	first := p.nextBatch()
	if first == nil {
		return
	}
	sendAll := func(ctx context.Context) {
		for b := first; b != nil; b = p.nextBatch() {
			p.send(ctx, b)
		}
	}
	if u := p.breaker.upstream; !u.start(sendAll) {
		sendAll(u.ctx) // closed, so they fail
	}
}

// nextBatch returns the batch to send now, or nil if none waits, which ends the round trip.
func (p *pipeliner) nextBatch() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.inFlight--
		return nil
	}
	b := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return b
}

// send makes a batch's round trip, unless the Limiter is closed. Each call gets its own error.
func (p *pipeliner) send(ctx context.Context, b *batch) {
	defer close(b.done)
	cmds, last := b.commands(time.Now())
	if len(cmds) == 0 {
		return
	}
	if ctx.Err() != nil {
		failAll(cmds, redis.ErrClosed)
		return
	}
	ctx, cancel := context.WithDeadline(ctx, last)
	defer cancel()
	pipe := p.client.Pipeline()
	pipe.BatchProcess(ctx, cmds...)
	pipe.Exec(ctx)
}

// commands returns the commands of the calls whose deadline has not passed, and the latest of these
// deadlines. The other calls have been decided without Redis, and must not be charged twice.
func (b *batch) commands(now time.Time) (cmds []redis.Cmder, last time.Time) {
	cmds = make([]redis.Cmder, 0, len(b.calls))
	for i := range b.calls {
		if c := &b.calls[i]; now.Before(c.deadline) {
			c.sent = redis.NewCmd(context.Background(), c.args...)
			cmds = append(cmds, c.sent)
			if c.deadline.After(last) { // not always the last call: redirects keep their deadline
				last = c.deadline
			}
		}
	}
	return cmds, last
}

func failAll(cmds []redis.Cmder, err error) {
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
}

// isScript reports whether a command calls the rate limit script.
func isScript(cmd redis.Cmder) bool {
	name := cmd.Name()
	return name == "evalsha" || name == "eval"
}
