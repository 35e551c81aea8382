package sales

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	batch     prometheus.Histogram
	statement prometheus.Histogram
	sheds     *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	auto := promauto.With(registry)
	m := &metrics{
		batch: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_sale_batch_size",
			Help:    "Sales of one statement.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		statement: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_sale_statement_seconds",
			Help:    "Time from sending a batch to its commit, or its failure.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		sheds: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_sale_shed_total",
			Help: "Sales answered 503 because more came than could be committed, or waited for a lock, by reason.",
		}, []string{"reason"}),
		failures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_sale_statement_failures_total",
			Help: "Statements that failed, by class of SQLSTATE; 08: the connection was lost, unsent: before anything was sent.",
		}, []string{"class"}),
	}
	for _, class := range failureClasses {
		m.failures.WithLabelValues(class) // a rate needs the zero before the first
	}
	for _, shed := range allSheds {
		m.sheds.WithLabelValues(shed.reason)
	}
	return m
}

// registerQueue registers the gauges of the sales that queued counts, and of how long a further one would wait.
func registerQueue(registry prometheus.Registerer, queued func() int, wait func() time.Duration) {
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_expected_wait_seconds",
		Help: "How long a sale of a workspace that has none waiting is expected to wait until it is sent.",
	}, func() float64 { return wait().Seconds() })
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_queue_depth",
		Help: "Sales that wait to be sent to the database, those in the slow lane included.",
	}, func() float64 { return float64(queued()) })
}

const (
	// weight of a new observation.
	estimateWeight = 0.25
	// leastOutlier bounds an observation that is more than twice what statements hardly ever exceed: the few
	// statements that an outage held up must not make the edge shed what comes after it.
	leastOutlier = 100 * time.Millisecond
	// estimateHalfLife is how long the estimate takes to halve once no statement has ended for as long as one
	// usually takes: what was true before an outage is not true forever.
	estimateHalfLife = time.Second
)

// estimate is how long the statements have taken lately. Those that were abandoned, or waited for a
// lock, do not count.
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
	seconds = min(seconds, max(2*(e.mean+4*e.deviation), leastOutlier.Seconds()))
	e.deviation = deviation + estimateWeight*(math.Abs(seconds-mean)-deviation)
	e.mean = mean + estimateWeight*(seconds-mean)
	e.last = now
}

// usual returns the mean.
func (e *estimate) usual(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	mean, _ := e.decayed(now)
	return toDuration(mean)
}

// most returns what a statement hardly ever exceeds.
func (e *estimate) most(now time.Time) time.Duration {
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
