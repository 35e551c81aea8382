package sales

import (
	"context"
	"errors"
	"fmt"
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

	// The rest belongs to the goroutine that runs the sale.

	// unknown: a statement was sent and its outcome lost. Until a later one finds out, the sale is sent.
	unknown bool
	misses  int // times that its customer could not be had
	resends int // times that a connection turned out to be useless
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

// wait returns the answer, or by ctx's end what can be said without one.
func (p *pendingSale) wait(ctx, cut context.Context) (*sale.Recorded, error) {
	select {
	case answer := <-p.done:
		return answer.recorded, answer.err
	case <-ctx.Done():
	case <-cut.Done():
	}
	switch p.state.Swap(stateLeft) {
	case stateAnswered:
		answer := <-p.done
		return answer.recorded, answer.err
	case stateSent:
		return nil, p.outcomeUnknown(errors.New("the database has not answered in time"))
	default:
		return nil, notRecorded(errLate)
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

func (p *pendingSale) hasLeft() bool { return p.state.Load() == stateLeft }

// answer is called once at most.
func (p *pendingSale) answer(recorded *sale.Recorded, err error) {
	if p.state.Swap(stateAnswered) != stateLeft {
		p.done <- answer{recorded, err}
	}
}

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

// fail answers that this sale was not recorded, and why; which is no proof
// while an earlier statement with it may still commit.
func (p *pendingSale) fail(err error) {
	if p.unknown {
		// Not %w: err must not say that nothing was written.
		err = p.outcomeUnknown(fmt.Errorf("a connection was lost, and since then: %v", err))
	}
	p.answer(nil, err)
}

func notRecorded(cause error) error {
	return fmt.Errorf("%w: %w", sale.ErrNotRecorded, cause)
}
