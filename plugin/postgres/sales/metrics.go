package sales

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/metric"
	"hoko.to/edge/plugin/postgres"
)

// metrics are the hoko_sale_* metrics of docs/metrics.md that stores count.
type metrics struct {
	batch, statement, queue  prometheus.Histogram
	slow                     prometheus.Counter
	sheds, failures, retries map[string]prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	var reasons []string
	for _, shed := range allSheds {
		reasons = append(reasons, shed.reason)
	}
	return &metrics{
		batch: metric.Histogram(r, "hoko_sale_batch_size", "Number of sales in one statement.",
			prometheus.ExponentialBuckets(1, 2, 9)),
		statement: metric.Histogram(r, "hoko_sale_statement_seconds",
			"Time from sending a batch to its commit or failure.", prometheus.ExponentialBuckets(0.0005, 2, 15)),
		queue: metric.Histogram(r, "hoko_sale_queue_seconds",
			"Time of a sale in the queue, until it was first sent to the database or was answered.",
			prometheus.ExponentialBuckets(0.00025, 2, 16)),
		slow: metric.Counter(r, "hoko_sale_slow_lane_total",
			"Sales that joined the slow lane, because another session has locked their customer or is creating it."),
		sheds: metric.Counters(r, "hoko_sale_shed_total",
			"Sales answered 503 because of the sales before them or a lock on their customer, by reason.",
			"reason", reasons...),
		failures: metric.Counters(r, "hoko_sale_statement_failures_total",
			"Failed statements, by SQLSTATE class; 08: connection lost, unsent: lost before anything was sent.",
			"class", failureClasses...),
		retries: metric.Counters(r, "hoko_sale_retries_total",
			"Sales to send to the database again, while their deadlines allow, by cause.", "cause", retryCauses...),
	}
}

// Values of the label cause of hoko_sale_retries_total.
const (
	retryConflict   = "conflict"   // with another transaction: its commit came first
	retryLock       = "lock"       // the statement would have waited for another session
	retryCustomer   = "customer"   // another session has just locked, changed or created it
	retryRejected   = "rejected"   // Postgres rejected a sale of the batch
	retryConnection = "connection" // unusable before anything was sent
	retryUnknown    = "unknown"    // the outcome was lost
)

var retryCauses = []string{retryConflict, retryLock, retryCustomer, retryRejected, retryConnection, retryUnknown}

// retryCause returns the label of hoko_sale_retries_total for n sales of a failed statement, "" if
// they are not sent again.
func (a action) retryCause(n int) string {
	switch {
	case a == repeat:
		return retryConflict
	case a == stepAside:
		return retryLock
	case a == reconnect:
		return retryConnection
	case a == askAgain:
		return retryUnknown
	case a == halve && n > 1:
		return retryRejected
	}
	return ""
}

const (
	// estimateWeight is the weight of a new observation.
	estimateWeight = 0.25
	// minOutlier is the lowest cap of an observation, which otherwise is twice likelyMax: a few
	// statements that an outage delays must not make the edge shed later sales.
	minOutlier = 100 * time.Millisecond
	// estimateHalfLife is how fast the estimate decays once the next statement is overdue: values
	// from before an outage must not last forever.
	estimateHalfLife = time.Second
)

// estimate is a moving average of the time that statements take, without those that were abandoned
// or waited for a lock.
type estimate struct {
	mu              sync.Mutex
	mean, deviation float64 // in seconds
	last            time.Time
}

func (e *estimate) observe(took time.Duration, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seconds := took.Seconds()
	if e.last.IsZero() {
		e.mean, e.last = seconds, now
		return
	}
	mean, deviation := e.decayed(now)
	seconds = min(seconds, max(2*(e.mean+4*e.deviation), minOutlier.Seconds()))
	e.deviation = deviation + estimateWeight*(math.Abs(seconds-mean)-deviation)
	e.mean = mean + estimateWeight*(seconds-mean)
	e.last = now
}

func (e *estimate) usual(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	mean, _ := e.decayed(now)
	return toDuration(mean)
}

// likelyMax returns the time that hardly any statement exceeds: the mean plus four deviations.
func (e *estimate) likelyMax(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	mean, deviation := e.decayed(now)
	return toDuration(mean + 4*deviation)
}

func (e *estimate) decayed(now time.Time) (mean, deviation float64) {
	silence := now.Sub(e.last) - toDuration(e.mean+4*e.deviation)
	if silence <= 0 {
		return e.mean, e.deviation
	}
	factor := math.Exp2(-float64(silence) / float64(estimateHalfLife))
	return e.mean * factor, e.deviation * factor
}

func toDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// connections returns how many connections are open, and how many of those record sales.
func (l *slowLane) connections() (open, busy int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open = int(l.conns.Load())
	return open, min(open, postgres.SlowLaneConns+l.extra-l.idle)
}
