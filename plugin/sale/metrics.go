package sale

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics holds the metrics of a Recorder and of the Handlers that share it.
type metrics struct {
	sales      counters // by outcome
	rejections counters // by cause
	duration   prometheus.Histogram
}

// counters maps each value of a metric's only label to its counter.
type counters map[string]prometheus.Counter

// Values of the label outcome of hoko_sales_total.
const (
	outcomeRecorded     = "recorded"
	outcomeReplayed     = "replayed"
	outcomeUnattributed = "unattributed"
	outcomeMismatch     = "idempotency_mismatch"
	outcomeNotRecorded  = "not_recorded"
	outcomeUnknown      = "unknown"
	outcomeFailed       = "failed"
)

// Values of the label cause of hoko_sale_refusals_total.
const (
	causeScopes   = "missing_scopes"
	causeEncoding = "encoding"
	causeTooLarge = "too_large"
	causeTimeout  = "timeout"
	causeAborted  = "aborted"
	causeInvalid  = "invalid"
	causeMismatch = "idempotency_mismatch"
)

func newMetrics(registerer prometheus.Registerer) metrics {
	factory := promauto.With(registerer)
	sales := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sales_total",
		Help: "Valid requests for a sale, by outcome.",
	}, []string{"outcome"})
	rejections := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sale_refusals_total",
		Help: "Requests for a sale that track_sale rejected with a 4xx, by cause.",
	}, []string{"cause"})
	return metrics{
		sales: each(sales, outcomeRecorded, outcomeReplayed, outcomeUnattributed, outcomeMismatch,
			outcomeNotRecorded, outcomeUnknown, outcomeFailed),
		rejections: each(rejections, causeScopes, causeEncoding, causeTooLarge, causeTimeout, causeAborted,
			causeInvalid, causeMismatch),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_sale_duration_seconds",
			Help:    "Time from a valid request for a sale to its outcome, including time in the queue.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
}

// each creates the counter of each value, so that rates see a zero before the first event.
func each(vec *prometheus.CounterVec, values ...string) counters {
	all := counters{}
	for _, value := range values {
		all[value] = vec.WithLabelValues(value)
	}
	return all
}

// outcome returns the outcome under which a call of Record is counted.
func outcome(recorded *Recorded, err error) string {
	_, unknown := errors.AsType[*UnknownOutcomeError](err)
	switch {
	case errors.Is(err, ErrUnattributed):
		return outcomeUnattributed
	case errors.Is(err, ErrIdempotencyMismatch):
		return outcomeMismatch
	case unknown:
		return outcomeUnknown
	case errors.Is(err, ErrNotRecorded):
		return outcomeNotRecorded
	case err != nil:
		return outcomeFailed
	case recorded.Replayed:
		return outcomeReplayed
	default:
		return outcomeRecorded
	}
}
