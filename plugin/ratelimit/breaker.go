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
	// tolerated is how many failed round trips in a row open a breaker.
	tolerated = 3

	// Probes of an open breaker are this far apart: the first wait, doubling up to the last.
	firstProbe = 100 * time.Millisecond
	lastProbe  = time.Second
)

// breaker keeps requests from a node that does not answer. It opens after three round trips in a
// row that failed, one refused dial, or one redirect that cannot be followed; while it is open,
// commands fail at once and one probe at a time asks whether the node is back. It is a hook of the
// node's client, so a Cluster has one a node.
type breaker struct {
	node    string // its address, for people
	cluster bool   // a node of a Cluster, where MOVED is an answer
	fleet   *fleet
	probe   func(ctx context.Context, key string) error

	epoch  atomic.Uint64 // even: closed; odd: open; one more with each change
	failed atomic.Int32  // failures in a row
	opened atomic.Pointer[opening]
	gone   atomic.Bool // its node is no more
}

// opening is why and since when a breaker is open.
type opening struct {
	since time.Time
	cause failure
}

// probing marks the context of a probe, which passes an open breaker.
type probing struct{}

func isOpen(epoch uint64) bool { return epoch%2 == 1 }

// admit is asked before a command is sent. What happened to it is told under the same epoch.
func (b *breaker) admit(ctx context.Context) (epoch uint64, err error) {
	epoch = b.epoch.Load()
	if isOpen(epoch) && ctx.Value(probing{}) == nil {
		return epoch, errOpen
	}
	// A Cluster's client tries again even when there is no time left: that asks nothing and tells
	// nothing.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return epoch, context.DeadlineExceeded
	}
	return epoch, nil
}

// record judges how a command went and returns its error.
func (b *breaker) record(epoch uint64, cmd redis.Cmder, err error) error {
	err, tells := b.judge(cmd, err)
	if tells {
		b.count(epoch, cmd, err)
	}
	return err
}

// recordAll judges a round trip as a whole: an answer to any of its calls shows
// that the node is well, and without one it failed once, however many they were.
func (b *breaker) recordAll(epoch uint64, cmds []redis.Cmder) (first error) {
	var speaker redis.Cmder
	for _, cmd := range cmds {
		err, tells := b.judge(cmd, cmd.Err())
		if first == nil {
			first = err
		}
		if tells && (speaker == nil || err == nil) {
			speaker = cmd
		}
	}
	if speaker != nil {
		b.count(epoch, speaker, speaker.Err())
	}
	return first
}

// judge returns a command's error, and whether its end tells how the node is. Only
// the limiter's own commands and a Cluster's question for its slots do.
func (b *breaker) judge(cmd redis.Cmder, err error) (_ error, tells bool) {
	switch {
	case isScript(cmd):
		if err == nil && !isScriptAnswer(cmd) {
			err = errAnswer
			cmd.SetErr(err)
		}
		if b.isElsewhere(err) && b.fleet.followCluster() {
			return err, false
		}
	case cmd.Name() == "cluster":
		if err == nil {
			return nil, false // says nothing about writes
		}
	default:
		return err, false
	}
	return err, err == nil || !b.saysNothing(cmd, err)
}

func (b *breaker) count(epoch uint64, cmd redis.Cmder, err error) {
	if isOpen(epoch) || b.epoch.Load() != epoch {
		return // a probe, which judges for itself, or a straggler from before a change
	}
	if err == nil {
		if b.failed.Load() > 0 {
			b.failed.Store(0)
		}
		return
	}
	cause := classify(err)
	immediately := cause == failRefused || b.isElsewhere(err)
	if b.failed.Add(1) < tolerated && !immediately {
		return
	}
	if b.epoch.CompareAndSwap(epoch, epoch+1) {
		b.open(cause, err, scriptKey(cmd))
	}
}

// saysNothing is true of errors that do not tell whether the node is well.
func (b *breaker) saysNothing(cmd redis.Cmder, err error) bool {
	switch cause := classify(err); {
	case cause == failKey: // it is well but for this key
		return true
	case cause == failClosed || b.gone.Load() || b.fleet.ctx.Err() != nil: // we are closing, or have left it
		return true
	case cmd.Name() == "evalsha" && redis.HasErrorPrefix(err, "NOSCRIPT"): // EVAL follows
		return true
	}
	return b.isRedirect(err)
}

// isElsewhere reports whether a Redis that is asked as a single one is a node of a Cluster, and
// another has the key. It answers well for its own keys, so what it answers in between tells
// nothing.
func (b *breaker) isElsewhere(err error) bool {
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return (moved || ask) && !b.cluster
}

// isRedirect says whether a Cluster's node names another for this key. One that
// names itself would be asked again for ever.
func (b *breaker) isRedirect(err error) bool {
	if !b.cluster || classify(err) != failCluster || redis.HasErrorPrefix(err, "CLUSTERDOWN") {
		return false
	}
	to, moved := redis.IsMovedError(err)
	return !moved || hostPort(to) != hostPort(b.node)
}

// hostPort is an address in one spelling: a node writes that of IPv6 without brackets.
func hostPort(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	return net.JoinHostPort(strings.Trim(address[:i], "[]"), address[i+1:])
}

func (b *breaker) open(cause failure, err error, key string) {
	b.opened.Store(&opening{time.Now(), cause})
	b.fleet.count(+1)
	b.fleet.logger.Warn("redis does not answer: limits are decided without it",
		slog.String("node", b.node), slog.String("class", string(cause)), slog.String("error", describe(err)))
	b.fleet.run(func(ctx context.Context) { b.heal(ctx, key) })
}

// heal probes until the node is back or the limiter is closed. It runs alone
// for its breaker, in a goroutine that is stopped with the fleet.
func (b *breaker) heal(ctx context.Context, key string) {
	began := time.Now()
	for wait := firstProbe; ; wait = min(2*wait, lastProbe) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(began.Add(wait))):
		}
		began = time.Now()
		err := b.probe(context.WithValue(ctx, probing{}, true), key)
		switch {
		case ctx.Err() != nil:
			return
		case b.gone.Load() || errors.Is(err, redis.ErrClosed): // the Cluster has left this node behind
			b.gone.Store(true)
			b.fleet.count(-1)
			return
		case err == nil || b.isRedirect(err):
			b.close()
			return
		}
		b.opened.Store(&opening{b.opened.Load().since, classify(err)})
		b.fleet.metrics.failed(err)
		b.fleet.reload()
	}
}

func (b *breaker) close() {
	was := b.opened.Swap(nil)
	b.failed.Store(0)
	b.epoch.Add(1)
	b.fleet.count(-1)
	b.fleet.logger.Info("redis answers again", slog.String("node", b.node), slog.Duration("after", time.Since(was.since)))
}

// DialHook lets every dial pass: what became of it is seen in the command that asked for it.
func (b *breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook fails at once where the breaker is open, and else judges how the command went.
func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		epoch, err := b.admit(ctx)
		if err != nil {
			return err
		}
		return b.record(epoch, cmd, shield(func() error { return next(ctx, cmd) }))
	}
}

// ProcessPipelineHook does the same for calls that share a round trip, and for
// the one that follows an -ASK.
func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		epoch, err := b.admit(ctx)
		if err != nil {
			failAll(cmds, err)
			return err
		}
		err = shield(func() error { return next(ctx, cmds) })
		if err != nil {
			failUnanswered(cmds, err)
		}
		if bad := b.recordAll(epoch, cmds); err == nil {
			err = bad
		}
		return err
	}
}

// failUnanswered gives commands that were never sent the error of the greeting
// that failed: go-redis keeps it to itself.
func failUnanswered(cmds []redis.Cmder, err error) {
	for _, cmd := range cmds {
		if reply, ok := cmd.(*redis.Cmd); ok && reply.Err() == nil && reply.Val() == nil {
			cmd.SetErr(err)
		}
	}
}

// shield makes a panic an answer that is not the script's: go-redis makes room for
// whatever length a reply claims to have.
func shield(ask func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errAnswer
		}
	}()
	return ask()
}
