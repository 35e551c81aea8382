package revocation

import (
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
)

// lag is how long after a commit the last call was sent, and answered, that was admitted all the
// same; 0 where none was. The edge admitted it in between.
type lag struct{ sent, answered time.Duration }

type lags []lag

func (l *lags) add(more ...lag) { *l = append(*l, more...) }

// report prints both, where -revocation.figures asks for it, and holds the sending to the bar. The
// answer also waits for its sale.
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
