package sales

import (
	"context"
	"errors"
	"testing"
	"time"

	"hoko.to/edge/plugin/sale"
)

func TestCallerThatLeavesIsToldWhatIsTrue(t *testing.T) {
	recorded := new(sale.Recorded)
	claim := func(p *pendingSale) bool { return p.claim() }
	release := func(p *pendingSale) bool { return p.release() }
	lose := func(p *pendingSale) bool { return p.lose() }
	succeed := func(p *pendingSale) bool { p.answer(recorded, nil); return true }
	fail := func(p *pendingSale) bool { p.fail(notRecorded(errFull)); return true }
	for _, c := range []struct {
		name  string
		steps []func(*pendingSale) bool
		want  error
	}{
		{"never sent", nil, sale.ErrNotRecorded},
		{"sent", steps(claim), sale.ErrOutcomeUnknown},
		{"sent and rolled back", steps(claim, release), sale.ErrNotRecorded},
		{"sent, rolled back and sent", steps(claim, release, claim), sale.ErrOutcomeUnknown},
		{"sent and lost", steps(claim, lose), sale.ErrOutcomeUnknown},
		{"sent, lost, and sent and rolled back", steps(claim, lose, claim, release), sale.ErrOutcomeUnknown},
		{"sent, lost and given up", steps(claim, lose, fail), sale.ErrOutcomeUnknown},
		{"given up", steps(fail), sale.ErrNotRecorded},
		{"sent and answered", steps(claim, succeed), nil},
		{"sent, lost, sent and answered", steps(claim, lose, claim, succeed), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPendingSale(&sale.Sale{Request: &sale.Request{}}, time.Time{})
			for i, step := range c.steps {
				if !step(p) {
					t.Fatalf("step %d does not go on though the caller is there", i)
				}
			}
			left, leave := context.WithCancel(context.Background())
			leave()
			got, err := p.wait(left, context.Background())
			if c.want == nil {
				if got != recorded || err != nil {
					t.Errorf("told %v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, c.want) || errors.Is(err, sale.ErrNotRecorded) == errors.Is(err, sale.ErrOutcomeUnknown) {
				t.Errorf("told %v, want only %v", err, c.want)
			}
			if p.state.Load() == stateLeft && (p.claim() || p.release()) {
				t.Error("it goes on though the caller has left")
			}
			p.answer(recorded, nil) // of a statement that was under way: for nobody
		})
	}
}

func steps(of ...func(*pendingSale) bool) []func(*pendingSale) bool { return of }
