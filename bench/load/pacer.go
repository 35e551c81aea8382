package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// pacer sends the times at which requests are due to any free connection. The gaps are exponential
// (a Poisson process), as for independent callers. They are the same in every run with the same
// rate, so that all sides handle the same load.
type pacer struct {
	dues     chan time.Duration
	recorder *recorder
	alarm    *alarm
	gap      float64 // mean, in ns
	random   *rand.Rand
}

func newPacer(s Spec, r *recorder) (*pacer, error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	return &pacer{make(chan time.Duration), r, a, float64(time.Second) / s.Rate, rand.New(rand.NewPCG(1, 2))}, nil
}

// run sends all due times of the run, even if late. Those not sent when ctx ends count as
// unanswered.
func (p *pacer) run(ctx context.Context) {
	defer p.alarm.close()
	defer close(p.dues)
	for due := p.next(0); due < p.recorder.to; due = p.next(due) {
		if early := due - p.recorder.now(); early > 0 {
			if ctx.Err() != nil {
				return
			}
			p.alarm.sleep(early)
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
