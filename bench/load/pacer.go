package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// pacer hands out the moments at which requests are due, to whichever
// connection is free. Callers that know nothing of one another come at random,
// so the gaps are exponential (a Poisson process); they are the same in every
// run of one rate, so that all that is compared has to cope with the same.
type pacer struct {
	dues     chan time.Duration
	recorder *recorder
	alarm    *alarm
	gap      float64 // ns, the mean
	random   *rand.Rand
}

func newPacer(s Spec, r *recorder) (*pacer, error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	return &pacer{make(chan time.Duration), r, a, float64(time.Second) / s.Rate, rand.New(rand.NewPCG(1, 2))}, nil
}

// run ends when all that is due within the run is handed out, be it late. What
// is not when ctx ends counts as unanswered.
func (p *pacer) run(ctx context.Context) {
	defer p.alarm.close()
	defer close(p.dues)
	for due := p.next(0); due < p.recorder.to; due = p.next(due) {
		if early := due - p.recorder.now(); early > 0 {
			if ctx.Err() != nil {
				return
			}
			p.alarm.sleep(early)
			if p.recorder.measured(due) {
				p.recorder.late.Record(p.recorder.now() - due)
			}
		}
		select {
		case p.dues <- due:
		case <-ctx.Done():
			p.recorder.unanswered(due)
		}
	}
}

func (p *pacer) next(due time.Duration) time.Duration {
	return due + time.Duration(p.gap*p.random.ExpFloat64())
}
