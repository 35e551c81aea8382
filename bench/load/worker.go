package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// worker sends the requests of one connection.
type worker struct {
	client   client
	recorder *recorder
	pick     uint32
	random   *rand.Rand
}

func (w *worker) closedLoop(ctx context.Context) {
	for sent := w.recorder.now(); sent < w.recorder.to; {
		answered, ok := w.one(ctx, sent)
		if !ok {
			return
		}
		sent = answered
	}
}

func (w *worker) openLoop(ctx context.Context, dues <-chan time.Duration) {
	for due := range dues {
		if _, ok := w.one(ctx, due); !ok {
			return
		}
	}
}

// one sends a request, records the response with its latency since the given time, and reconnects
// if necessary. It returns when the next request can be sent, or false if ctx has ended.
func (w *worker) one(ctx context.Context, since time.Duration) (time.Duration, bool) {
	var pick uint32
	if w.pick > 0 {
		pick = w.random.Uint32N(w.pick)
	}
	status, err := w.client.send(ctx, w.recorder.seq.Add(1)-1, pick)
	now := w.recorder.now()
	if ctx.Err() != nil {
		w.recorder.unanswered(since)
		return now, false
	}
	w.recorder.record(since, now, status, err)
	for !w.client.usable() {
		w.recorder.reconnects.Add(1)
		if w.client.connect(ctx) != nil && !wait(ctx, 10*time.Millisecond) {
			return now, false
		}
		now = w.recorder.now()
	}
	return now, true
}
