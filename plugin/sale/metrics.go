package sale

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of a Recorder and of the Handlers that share it.
type metrics struct {
	sales      counters // by outcome
	rejections counters // by cause
	duration   prometheus.Histogram
}

// counters are the counters of one metric by the value of its label, which comes from a closed set.
type counters map[string]prometheus.Counter

// The values of hoko_sales_total's label.
const (
	outcomeRecorded     = "recorded"
	outcomeReplayed     = "replayed"
	outcomeUnattributed = "unattributed"
	outcomeMismatch     = "idempotency_mismatch"
	outcomeNotRecorded  = "not_recorded"
	outcomeUnknown      = "unknown"
	outcomeFailed       = "failed"
)

// The values of hoko_sale_refusals_total's label.
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
		Help: "Valid sales that were asked for, by outcome.",
	}, []string{"outcome"})
	rejections := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sale_refusals_total",
		Help: "Requests for a sale that were answered with a 4xx by track_sale, by cause.",
	}, []string{"cause"})
	return metrics{
		sales: each(sales, outcomeRecorded, outcomeReplayed, outcomeUnattributed, outcomeMismatch,
			outcomeNotRecorded, outcomeUnknown, outcomeFailed),
		rejections: each(rejections, causeScopes, causeEncoding, causeTooLarge, causeTimeout, causeAborted,
			causeInvalid, causeMismatch),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_sale_duration_seconds",
			Help:    "Time from a valid sale to its outcome, waiting included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
}

// each creates all counters at the start: a rate needs the zero before the first event.
func each(vec *prometheus.CounterVec, values ...string) counters {
	all := counters{}
	for _, value := range values {
		all[value] = vec.WithLabelValues(value)
	}
	return all
}

// outcome returns the outcome that a call of Record is counted under.
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
