package ratelimit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxInFlight bounds the round trips to a node that are under way at once. One
	// would let a connection that hangs hold up every caller; with each one more,
	// fewer calls share a round trip.
	maxInFlight = 2

	// maxBatch bounds the calls of one round trip, which Redis runs without a pause: in about a millisecond.
	maxBatch = 128
)

// pipeliner has concurrent calls of the script share round trips to their node. A call goes at once
// and alone while fewer than maxInFlight are under way; those that come meanwhile wait for the
// first of them to end, and go together. No timer gathers them, so a lone call pays nothing.
//
// It is a hook of the node's client: a Cluster's client has routed a call before it
// comes here, and follows its redirect afterwards, as if it had gone alone.
type pipeliner struct {
	client  *redis.Client
	breaker *breaker
	timers  sync.Pool

	mu       sync.Mutex
	inFlight int
	waiting  []*batch // all but the last are full
}

// batch is what one round trip carries.
type batch struct {
	calls []call
	done  chan struct{} // closed when every call has its answer
}

// call is a caller's command. What is sent is a copy, since the caller may be gone
// before the answer is there, and its command with it.
type call struct {
	args     []any
	deadline time.Time
	sent     *redis.Cmd // nil where the deadline had passed
}

// DialHook lets every dial pass.
func (p *pipeliner) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook lets every pipeline pass.
func (p *pipeliner) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook sends a call of the script, alone or with others. An open breaker is
// left to answer at once, or to let its probe pass.
func (p *pipeliner) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		deadline, ok := ctx.Deadline()
		if !ok || !time.Now().Before(deadline) || !isScript(cmd) || isOpen(p.breaker.epoch.Load()) {
			return next(ctx, cmd)
		}
		b, place := p.join(call{args: cmd.Args(), deadline: deadline})
		if b == nil {
			defer p.release()
			return next(ctx, cmd)
		}
		if !p.await(b, deadline) || b.calls[place].sent == nil {
			return context.DeadlineExceeded
		}
		sent := b.calls[place].sent
		cmd.(*redis.Cmd).SetVal(sent.Val())
		return sent.Err()
	}
}

// join takes a place in the batch that goes next, or nil where the call may go at once.
func (p *pipeliner) join(c call) (b *batch, place int) {
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

// await says whether the batch was done before the deadline.
func (p *pipeliner) await(b *batch, deadline time.Time) bool {
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

// release ends a round trip that was had alone. Where somebody waits, a goroutine
// goes on with it until nobody does.
func (p *pipeliner) release() {
	first := p.next()
	if first == nil {
		return
	}
	sendAll := func(ctx context.Context) {
		for b := first; b != nil; b = p.next() {
			p.send(ctx, b)
		}
	}
	if s := p.breaker.fleet; !s.run(sendAll) {
		sendAll(s.ctx) // closed: they get no answer
	}
}

// next is the batch that goes now. Where nobody waits, it gives the round trip back.
func (p *pipeliner) next() *batch {
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

// send makes a batch's round trip, unless the limiter is closed. Every call gets
// its own error: a key that holds something else is its own caller's trouble.
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

// commands are those of the calls that somebody still waits for, and the last of their deadlines.
// The others were decided without Redis, and are not to be charged as well.
func (b *batch) commands(now time.Time) (cmds []redis.Cmder, last time.Time) {
	cmds = make([]redis.Cmder, 0, len(b.calls))
	for i := range b.calls {
		if c := &b.calls[i]; now.Before(c.deadline) {
			c.sent = redis.NewCmd(context.Background(), c.args...)
			cmds = append(cmds, c.sent)
			if c.deadline.After(last) { // a redirected call keeps its first
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

// isScript says whether a command calls the limiter's script.
func isScript(cmd redis.Cmder) bool {
	name := cmd.Name()
	return name == "evalsha" || name == "eval"
}
