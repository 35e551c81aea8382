package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// failureThreshold is how many failed round trips in a row open a breaker.
	failureThreshold = 3

	// The interval between probes starts at minProbeInterval and doubles up to maxProbeInterval.
	minProbeInterval = 100 * time.Millisecond
	maxProbeInterval = time.Second
)

// breaker is the circuit breaker of one Redis node, and a hook of the node's client. It opens after
// failureThreshold failed round trips in a row, one refused dial, or one redirect that cannot be
// followed. While it is open, commands fail immediately, and one probe at a time checks the node.
type breaker struct {
	node     string // address, for logs and Stats
	cluster  bool   // the node is part of a Cluster, whose client follows redirects
	upstream *upstream
	probe    func(ctx context.Context, key string) error

	epoch    atomic.Uint64 // even: closed; odd: open; each change adds one
	failures atomic.Int32  // in a row
	opened   atomic.Pointer[openState]
	removed  atomic.Bool // the node's client is no longer used
}

// openState is when a breaker opened, and the class of its last failure.
type openState struct {
	since time.Time
	cause failure
}

// probeKey is the context key that lets a probe pass an open breaker.
type probeKey struct{}

func isOpen(epoch uint64) bool { return epoch%2 == 1 }

// begin returns the epoch under which to record a command, or an error if it must not be sent.
func (b *breaker) begin(ctx context.Context) (epoch uint64, err error) {
	epoch = b.epoch.Load()
	if isOpen(epoch) && ctx.Value(probeKey{}) == nil {
		return epoch, errOpen
	}
	// A Cluster's client retries even after the deadline. Such a retry must not count as a failure.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return epoch, context.DeadlineExceeded
	}
	return epoch, nil
}

// record counts a command's outcome and returns its error.
func (b *breaker) record(epoch uint64, cmd redis.Cmder, err error) error {
	err, counts := b.check(cmd, err)
	if counts {
		b.update(epoch, cmd, err)
	}
	return err
}

// recordPipeline counts a round trip once: as a success if any of its calls has a reply, and
// otherwise as one failure. It returns the first error.
func (b *breaker) recordPipeline(epoch uint64, cmds []redis.Cmder) (first error) {
	var counted redis.Cmder
	for _, cmd := range cmds {
		err, counts := b.check(cmd, cmd.Err())
		if first == nil {
			first = err
		}
		if counts && (counted == nil || err == nil) {
			counted = cmd
		}
	}
	if counted != nil {
		b.update(epoch, counted, counted.Err())
	}
	return first
}

// check returns a command's error, and whether its outcome counts. Only the outcomes of the script
// and the errors of CLUSTER SLOTS do.
func (b *breaker) check(cmd redis.Cmder, err error) (_ error, counts bool) {
	switch {
	case isScript(cmd):
		if err == nil && !isScriptReply(cmd) {
			err = errReply
			cmd.SetErr(err)
		}
		if b.revealsCluster(err) && b.upstream.switchToCluster() {
			return err, false
		}
	case cmd.Name() == "cluster":
		if err == nil {
			return nil, false // the node may still reject writes
		}
	default:
		return err, false
	}
	return err, err == nil || !b.isNeutral(cmd, err)
}

// update counts a success or a failure, and opens the breaker if necessary.
func (b *breaker) update(epoch uint64, cmd redis.Cmder, err error) {
	if isOpen(epoch) || b.epoch.Load() != epoch {
		return // a probe, which probeUntilUp handles, or sent before the last change
	}
	if err == nil {
		if b.failures.Load() > 0 {
			b.failures.Store(0)
		}
		return
	}
	cause := classify(err)
	immediately := cause == failRefused || b.revealsCluster(err)
	if b.failures.Add(1) < failureThreshold && !immediately {
		return
	}
	if b.epoch.CompareAndSwap(epoch, epoch+1) {
		b.open(cause, err, scriptKey(cmd))
	}
}

// isNeutral reports whether an error says nothing about the node.
func (b *breaker) isNeutral(cmd redis.Cmder, err error) bool {
	switch cause := classify(err); {
	case cause == failKey: // only this key has a problem
		return true
	case cause == failClosed || b.removed.Load() || b.upstream.ctx.Err() != nil: // we closed it
		return true
	case cmd.Name() == "evalsha" && redis.HasErrorPrefix(err, "NOSCRIPT"): // EVAL follows
		return true
	}
	return b.isRedirect(err)
}

// revealsCluster reports whether a node that was taken for a single Redis redirects to another one.
// One such error opens the breaker, because replies for the node's own keys would reset the count.
func (b *breaker) revealsCluster(err error) bool {
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return (moved || ask) && !b.cluster
}

// isRedirect reports whether a Cluster's node names another one for the key. A redirect to itself
// is a failure, because it would be followed forever.
func (b *breaker) isRedirect(err error) bool {
	if !b.cluster || classify(err) != failCluster || redis.HasErrorPrefix(err, "CLUSTERDOWN") {
		return false
	}
	to, moved := redis.IsMovedError(err)
	return !moved || hostPort(to) != hostPort(b.node)
}

// hostPort normalizes an address: Redis writes IPv6 addresses without brackets.
func hostPort(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	return net.JoinHostPort(strings.Trim(address[:i], "[]"), address[i+1:])
}

func (b *breaker) open(cause failure, err error, key string) {
	b.opened.Store(&openState{time.Now(), cause})
	b.upstream.addOpen(+1)
	b.upstream.logger.Warn("redis does not answer: limits are decided without it",
		slog.String("node", b.node), slog.String("class", string(cause)), slog.String("error", describe(err)))
	b.upstream.start(func(ctx context.Context) { b.probeUntilUp(ctx, key) })
}

// probeUntilUp probes until the node is up again or removed, or the Limiter is closed.
func (b *breaker) probeUntilUp(ctx context.Context, key string) {
	began := time.Now()
	for interval := minProbeInterval; ; interval = min(2*interval, maxProbeInterval) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(began.Add(interval))):
		}
		began = time.Now()
		err := b.probe(context.WithValue(ctx, probeKey{}, true), key)
		switch {
		case ctx.Err() != nil:
			return
		case b.removed.Load() || errors.Is(err, redis.ErrClosed): // left the Cluster
			b.removed.Store(true)
			b.upstream.addOpen(-1)
			return
		case err == nil || b.isRedirect(err):
			b.close()
			return
		}
		b.opened.Store(&openState{b.opened.Load().since, classify(err)})
		b.upstream.metrics.countFailure(err)
		b.upstream.reloadSlots()
	}
}

func (b *breaker) close() {
	was := b.opened.Swap(nil)
	b.failures.Store(0)
	b.epoch.Add(1)
	b.upstream.addOpen(-1)
	b.upstream.logger.Info("redis answers again",
		slog.String("node", b.node), slog.Duration("after", time.Since(was.since)))
}

// DialHook returns next: a failed dial is recorded with the command that needed it.
func (b *breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook fails immediately if the breaker is open. Otherwise it records the command's outcome.
func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		epoch, err := b.begin(ctx)
		if err != nil {
			return err
		}
		return b.record(epoch, cmd, catchPanic(func() error { return next(ctx, cmd) }))
	}
}

// ProcessPipelineHook does the same for a batch of calls, and for a call that follows an ASK
// redirect.
func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		epoch, err := b.begin(ctx)
		if err != nil {
			failAll(cmds, err)
			return err
		}
		err = catchPanic(func() error { return next(ctx, cmds) })
		if err != nil {
			failUnsent(cmds, err)
		}
		if first := b.recordPipeline(epoch, cmds); err == nil {
			err = first
		}
		return err
	}
}

// failUnsent sets the error of commands that were not sent because the connection could not be set
// up: go-redis does not set it.
func failUnsent(cmds []redis.Cmder, err error) {
	for _, cmd := range cmds {
		if reply, ok := cmd.(*redis.Cmd); ok && reply.Err() == nil && reply.Val() == nil {
			cmd.SetErr(err)
		}
	}
}

// catchPanic returns errReply if call panics: go-redis allocates any length that a reply claims.
func catchPanic(call func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errReply
		}
	}()
	return call()
}
