package apikey

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// outageMemory is how long a failed lookup stands for the store's state.
	outageMemory = 5 * time.Second
	// probeInterval is that of the lookups that find out whether an outage is over.
	probeInterval = lookupTimeout
	// outageLogInterval: a store that comes and goes must not fill the log.
	outageLogInterval = time.Minute
)

// outage remembers that the store failed, so that only the first requests wait
// to find out.
type outage struct {
	logger *slog.Logger

	failed    atomic.Int64 // when the last lookup failed; 0 after one that was answered
	nextProbe atomic.Int64
	nextLog   atomic.Int64
}

func (o *outage) began(now time.Duration, err error) {
	o.failed.Store(int64(max(now, 1)))
	if due(&o.nextLog, now, outageLogInterval) {
		o.logger.Warn("keys cannot be looked up; cached ones are served while they may be", "error", err)
	}
}

func (o *outage) ended() {
	if o.failed.Load() != 0 {
		o.failed.Store(0)
	}
}

// lasts reports whether the store failed a moment ago and has not answered since.
func (o *outage) lasts(now time.Duration) bool {
	failed := o.failed.Load()
	return failed != 0 && now-time.Duration(failed) < outageMemory
}

// probe reports, to one caller each interval, that the store is to be asked again.
func (o *outage) probe(now time.Duration) bool { return due(&o.nextProbe, now, probeInterval) }

// due is true for one caller each interval.
func due(next *atomic.Int64, now, interval time.Duration) bool {
	at := next.Load()
	return int64(now) >= at && next.CompareAndSwap(at, int64(now+interval))
}
