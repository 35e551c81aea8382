package revocation

import (
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
)

// lag is how long after a commit the last admitted call was sent and answered, or 0 without one.
// The edge admitted the call in between.
type lag struct{ sent, answered time.Duration }

type lags []lag

func (l *lags) add(more ...lag) { *l = append(*l, more...) }

// report logs both if -revocation.figures is set, and compares the time of sending with the target.
// The answer also waits for its sale.
func (l lags) report(t *testing.T, what string, b harness.Target) {
	t.Helper()
	if !*revocationFigures {
		return
	}
	var sent, answered harness.Latencies
	for _, one := range l {
		sent.Add(one.sent)
		answered.Add(one.answered)
	}
	sent.Report(t, "from commit to the last admitted call, while "+what, b)
	answered.Print(t, "from commit to its answer")
}
