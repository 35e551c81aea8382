package sales

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
	"hoko.to/edge/plugin/tracing"
)

// The states of a pending sale change atomically. They decide what a caller that leaves is told,
// and whether the sale may still be sent.
const (
	stateWaiting  int32 = iota // not recorded, and no statement under way could record it
	stateSent                  // a statement that may record it was sent
	stateLeft                  // its caller has left: it must not be sent anymore
	stateAnswered              // its answer is in done
)

type pendingSale struct {
	*sale.Sale
	id       uuid.UUID // of the Sale, or a new one if another workspace has that ID
	customer customerKey
	deadline time.Time
	state    atomic.Int32
	reported atomic.Pointer[uuid.UUID] // the ID in an UnknownOutcomeError: of the sale that may be recorded
	done     chan answer
	span     tracing.Span // of its request

	arrived   time.Time    // when it joined the queue; set before anything else can see the sale
	sentAfter atomic.Int64 // nanoseconds from then until it was first sent, 0 before

	// Guarded by the queue's lock.
	links    [chainKinds]links
	line     *line // its customer's line, while it waits there
	holdsKey bool  // it is the sale under way with its idempotency key

	// Owned by the goroutine that runs the sale.
	statement tracing.Span // the last one with the sale
	unknown   bool         // an outcome was lost; the state stays sent until a later statement finds out
	misses    int          // how often its customer was unavailable
	raced     int          // of those, how often another session seemed to have just created the customer
	conflicts int          // how often a conflict took it out of its batch
	resends   int          // how often its connection was unusable
}

// customerKey identifies a customer before it is looked up.
type customerKey struct{ workspaceID, externalID string }

type answer struct {
	recorded *sale.Recorded
	err      error
}

func newPendingSale(s *sale.Sale, deadline time.Time) *pendingSale {
	p := &pendingSale{
		Sale:     s,
		id:       s.ID,
		customer: customerKey{s.WorkspaceID, s.Request.CustomerExternalID},
		deadline: deadline,
		done:     make(chan answer, 1),
	}
	p.reported.Store(&s.ID)
	return p
}

// wait returns the answer. If ctx or cut ends first, it returns what is certain without one, and
// whether the sale has left.
func (p *pendingSale) wait(ctx, cut context.Context) (recorded *sale.Recorded, err error, left bool) {
	why := error(errLate)
	select {
	case answer := <-p.done:
		return answer.recorded, answer.err, false
	case <-ctx.Done():
	case <-cut.Done():
		why = errClosed
	}
	switch p.state.Swap(stateLeft) {
	case stateAnswered:
		answer := <-p.done
		return answer.recorded, answer.err, false
	case stateSent:
		return nil, p.outcomeUnknown(errors.New("the database did not answer in time")), true
	default:
		return nil, notRecorded(why), true
	}
}

// claim marks the sale as sent, just before it is. It returns false if the caller has left.
func (p *pendingSale) claim(now time.Time) bool {
	if !p.state.CompareAndSwap(stateWaiting, stateSent) && p.state.Load() != stateSent {
		return false
	}
	p.sentAfter.CompareAndSwap(0, max(int64(now.Sub(p.arrived)), 1))
	return true
}

// timing returns how long the sale has waited until it was first sent, and how long since then.
func (p *pendingSale) timing() sale.Timing {
	total, sent := time.Since(p.arrived), time.Duration(p.sentAfter.Load())
	if sent == 0 {
		return sale.Timing{Queue: total}
	}
	return sale.Timing{Queue: sent, Commit: total - sent}
}

// release undoes a claim whose statement wrote nothing, and returns false if the caller has left.
func (p *pendingSale) release() bool {
	if p.unknown {
		return p.state.Load() == stateSent
	}
	return p.state.CompareAndSwap(stateSent, stateWaiting)
}

// lose keeps the claim of a sale whose outcome was lost. It returns false if the caller has left.
func (p *pendingSale) lose() bool {
	p.unknown = true
	return p.state.Load() == stateSent
}

func (p *pendingSale) isOver() bool {
	state := p.state.Load()
	return state == stateLeft || state == stateAnswered
}

// answer passes the answer to the caller and reports whether it was still there. Call it once.
func (p *pendingSale) answer(recorded *sale.Recorded, err error) bool {
	if p.state.Swap(stateAnswered) == stateLeft {
		return false
	}
	p.done <- answer{recorded, err}
	return true
}

// isRejectedSilently reports whether the customer was raced so often that something other than
// another session may keep it from being created.
func (p *pendingSale) isRejectedSilently() bool { return p.raced >= maxTries }

// setReported sets the ID of a sale that is, or may be, recorded under another ID than its own.
func (p *pendingSale) setReported(id uuid.UUID) {
	if id != p.Sale.ID {
		p.reported.Store(&id)
	}
}

func (p *pendingSale) outcomeUnknown(cause error) error {
	return &sale.UnknownOutcomeError{SaleID: *p.reported.Load(), Cause: cause}
}

var statementCall = tracing.PostgresCall("INSERT hoko.sales")

// startSpan starts the span of a statement with these sales.
func startSpan(sales []*pendingSale, at time.Time) tracing.Span {
	span := tracing.StartShared(statementCall, at, sales, func(p *pendingSale) tracing.Span { return p.span })
	if span.Records() {
		span.SetInt("hoko.sales", len(sales))
		for _, p := range sales {
			p.statement = span
		}
	}
	return span
}

// filter keeps the sales for which f is true, in place.
func filter(sales []*pendingSale, f func(*pendingSale) bool) []*pendingSale {
	return slices.DeleteFunc(sales, func(p *pendingSale) bool { return !f(p) })
}

func notRecorded(cause error) error {
	return fmt.Errorf("%w: %w", sale.ErrNotRecorded, cause)
}

// chain is a linked list of pending sales, from which any sale can be removed in constant time. A
// sale is in at most one chain of each kind.
type chain struct {
	kind        chainKind
	first, last *pendingSale
	length      int
}

type chainKind int

const (
	byPlace     chainKind = iota // the sales of a customer, or those that wait for an idempotency key
	byWorkspace                  // all sales of a workspace
	chainKinds
)

type links struct {
	chain          *chain
	previous, next *pendingSale
}

func (c *chain) append(p *pendingSale) { c.insert(p, c.last, nil) }

func (c *chain) prepend(p *pendingSale) { c.insert(p, nil, c.first) }

func (c *chain) insert(p, previous, next *pendingSale) {
	p.links[c.kind] = links{c, previous, next}
	c.link(previous, p)
	c.link(p, next)
	c.length++
}

func (c *chain) remove(p *pendingSale) {
	c.link(p.links[c.kind].previous, p.links[c.kind].next)
	p.links[c.kind] = links{}
	c.length--
}

// link makes two sales neighbors. A nil sale is an end of the chain.
func (c *chain) link(previous, next *pendingSale) {
	if previous == nil {
		c.first = next
	} else {
		previous.links[c.kind].next = next
	}
	if next == nil {
		c.last = previous
	} else {
		next.links[c.kind].previous = previous
	}
}
