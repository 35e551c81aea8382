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
)

// The states of a pending sale. They decide between its caller and its writer what a caller that
// gives up is told, and whether the sale may still be sent.
const (
	stateWaiting  int32 = iota // not in the database, and nothing under way could put it there
	stateSent                  // a statement that may have recorded it was sent
	stateLeft                  // its caller has gone: it must not be sent any more
	stateAnswered              // its answer is in done
)

// pendingSale is a sale between Record and its answer.
type pendingSale struct {
	*sale.Sale
	id       uuid.UUID // of the Sale, until another workspace turns out to have it
	customer customerKey
	deadline time.Time
	state    atomic.Int32
	named    atomic.Pointer[uuid.UUID] // the ID that an unknown outcome names: where it is, or may be, recorded
	done     chan answer

	// The queue's lock guards these.
	arrived  time.Time // when it joined the queue
	links    [chainKinds]links
	line     *line // of its customer, while it waits there
	holdsKey bool  // of the sales with its idempotency key it is the one under way

	// The rest belongs to the goroutine that runs the sale.

	// unknown: a statement was sent and its outcome lost. Until a later one finds out, the sale is sent.
	unknown   bool
	misses    int // times that its customer could not be had
	raced     int // of those, times that it was not created, as if another session had just done so
	conflicts int // times that a conflict took it out of its batch
	resends   int // times that a connection turned out to be useless
}

// customerKey is what a customer is known by before it is looked up.
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
	p.named.Store(&s.ID)
	return p
}

// wait returns the answer, or by ctx's end what can be said without one; whether the sale has left then.
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
		return nil, p.outcomeUnknown(errors.New("the database has not answered in time")), true
	default:
		return nil, notRecorded(why), true
	}
}

// claim is taken just before the sale is sent; false where its caller has gone.
func (p *pendingSale) claim() bool {
	return p.state.CompareAndSwap(stateWaiting, stateSent) || p.state.Load() == stateSent
}

// release takes a claim back, once it is proved that what was sent has written
// nothing. False where the caller has gone.
func (p *pendingSale) release() bool {
	if p.unknown {
		return p.state.Load() == stateSent
	}
	return p.state.CompareAndSwap(stateSent, stateWaiting)
}

// lose keeps a claim whose outcome was lost.
func (p *pendingSale) lose() bool {
	p.unknown = true
	return p.state.Load() == stateSent
}

// isOver reports whether the sale is answered, or its caller has left.
func (p *pendingSale) isOver() bool {
	state := p.state.Load()
	return state == stateLeft || state == stateAnswered
}

// answer is called once at most. It reports whether the caller was still there.
func (p *pendingSale) answer(recorded *sale.Recorded, err error) bool {
	if p.state.Swap(stateAnswered) == stateLeft {
		return false
	}
	p.done <- answer{recorded, err}
	return true
}

// isRefusedSilently reports whether something other than another session may keep the customer from being created.
func (p *pendingSale) isRefusedSilently() bool { return p.raced >= maxTries }

// name keeps the id of a sale that is, or may be, recorded under another than its own.
func (p *pendingSale) name(id uuid.UUID) {
	if id != p.Sale.ID {
		p.named.Store(&id)
	}
}

// outcomeUnknown returns the error that names the sale which may be recorded.
func (p *pendingSale) outcomeUnknown(cause error) error {
	return &sale.UnknownOutcomeError{SaleID: *p.named.Load(), Cause: cause}
}

// keep filters the sales in place.
func keep(sales []*pendingSale, f func(*pendingSale) bool) []*pendingSale {
	return slices.DeleteFunc(sales, func(p *pendingSale) bool { return !f(p) })
}

func notRecorded(cause error) error {
	return fmt.Errorf("%w: %w", sale.ErrNotRecorded, cause)
}

// chain is a list of pending sales in their order, which any of them can leave at once. A sale is in
// at most one chain of each kind.
type chain struct {
	kind        chainKind
	first, last *pendingSale
	length      int
}

type chainKind int

const (
	byPlace     chainKind = iota // the sales of a customer, or those that wait for one idempotency key
	byWorkspace                  // all sales of a workspace
	chainKinds
)

// links are a sale's neighbors in a chain.
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

// link makes two sales neighbors; a nil one is an end of the chain.
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
