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
			Help:    "Number of sales in one statement.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		statement: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_sale_statement_seconds",
			Help:    "Time from sending a batch to its commit or failure.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		sheds: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_sale_shed_total",
			Help: "Sales answered 503 because of the sales before them or a lock on their customer, by reason.",
		}, []string{"reason"}),
		failures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_sale_statement_failures_total",
			Help: "Failed statements, by SQLSTATE class; 08: connection lost, unsent: lost before anything was sent.",
		}, []string{"class"}),
	}
	for _, class := range failureClasses {
		m.failures.WithLabelValues(class) // a rate needs a zero before the first failure
	}
	for _, shed := range allSheds {
		m.sheds.WithLabelValues(shed.reason)
	}
	return m
}

func registerQueue(registry prometheus.Registerer, queued func() int, wait func() time.Duration) {
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_expected_wait_seconds",
		Help: "Expected wait of a sale until it is sent, for a workspace without waiting sales.",
	}, func() float64 { return wait().Seconds() })
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_queue_depth",
		Help: "Sales that wait to be sent to the database, including those in the slow lane.",
	}, func() float64 { return float64(queued()) })
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
