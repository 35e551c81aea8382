package e2e

import (
	"slices"
	"testing"
	"time"
)

// figures are durations of which only few are to be long.
type figures []time.Duration

// bar is what they must not exceed.
type bar struct{ p99, max time.Duration }

func (f *figures) add(more ...time.Duration) { *f = append(*f, more...) }

// percentile is the least that p per cent of them do not exceed, once they are sorted.
func (f figures) percentile(p int) time.Duration {
	return f[(len(f)*p+99)/100-1]
}

// lag is how long after a commit the last call was sent, and answered, that was
// admitted all the same; 0 where none was. The edge admitted it in between.
type lag struct{ sent, answered time.Duration }

type lags []lag

func (l *lags) add(more ...lag) { *l = append(*l, more...) }

// report prints both, where -revocation.figures asks for it, and holds the sending
// to the bar. The answer also waits for its sale.
func (l lags) report(t *testing.T, what string, b bar) {
	t.Helper()
	if !*revocationFigures {
		return
	}
	var sent, answered figures
	for _, one := range l {
		sent.add(one.sent)
		answered.add(one.answered)
	}
	sent.report(t, "from commit to the last admitted call, while "+what, b)
	answered.print(t, "from commit to its answer")
}

// report prints them, and holds them to the bar. It is not for a machine that has other work.
func (f figures) report(t *testing.T, what string, b bar) {
	t.Helper()
	f.print(t, what)
	if len(f) > 0 && (f.percentile(99) > b.p99 || f.percentile(100) > b.max) {
		t.Errorf("%s: want at most p99 %s, max %s", what, b.p99, b.max)
	}
}

func (f figures) print(t *testing.T, what string) {
	t.Helper()
	if len(f) == 0 {
		return
	}
	slices.Sort(f)
	t.Logf("%s, %d times: p50 %s, p99 %s, max %s", what, len(f), f.percentile(50), f.percentile(99), f.percentile(100))
}
