package sales

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

func TestPendingSale_AnswersACallerThatLeaves(t *testing.T) {
	recorded := new(sale.Recorded)
	outcomeUnknown := error(&sale.UnknownOutcomeError{Cause: errLate})
	claim := func(p *pendingSale) bool { return p.claim(time.Now()) }
	release := func(p *pendingSale) bool { return p.release() }
	lose := func(p *pendingSale) bool { return p.lose() }
	succeed := func(p *pendingSale) bool { p.answer(recorded, nil); return true }
	fail := func(p *pendingSale) bool { p.answer(nil, notRecorded(errQueueFull)); return true }
	for _, c := range []struct {
		name  string
		steps []func(*pendingSale) bool
		want  error
	}{
		{"never sent", nil, sale.ErrNotRecorded},
		{"sent", steps(claim), outcomeUnknown},
		{"sent and rolled back", steps(claim, release), sale.ErrNotRecorded},
		{"sent, rolled back and sent", steps(claim, release, claim), outcomeUnknown},
		{"sent and lost", steps(claim, lose), outcomeUnknown},
		{"sent, lost, and sent and rolled back", steps(claim, lose, claim, release), outcomeUnknown},
		{"given up", steps(fail), sale.ErrNotRecorded},
		{"sent and answered", steps(claim, succeed), nil},
		{"sent, lost, sent and answered", steps(claim, lose, claim, succeed), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPendingSale(&sale.Sale{ID: uuid.New(), Request: &sale.Request{}}, time.Time{})
			for i, step := range c.steps {
				if !step(p) {
					t.Fatalf("step %d does not go on though the caller is there", i)
				}
			}
			left, leave := context.WithCancel(context.Background())
			leave()
			got, err, _ := p.wait(left, context.Background())
			if c.want == nil {
				if got != recorded || err != nil {
					t.Errorf("told %v, %v", got, err)
				}
				return
			}
			named, unknown := errors.AsType[*sale.UnknownOutcomeError](err)
			want := c.want == outcomeUnknown
			if unknown != want || errors.Is(err, sale.ErrNotRecorded) == want || unknown && named.SaleID != p.ID {
				t.Errorf("told %v, want only %v", err, c.want)
			}
			if p.state.Load() == stateLeft && (p.claim(time.Now()) || p.release()) {
				t.Error("it goes on though the caller has left")
			}
			p.answer(recorded, nil) // of a statement that was under way; no caller is left
		})
	}
}

func steps(of ...func(*pendingSale) bool) []func(*pendingSale) bool { return of }
