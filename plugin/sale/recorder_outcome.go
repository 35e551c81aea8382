package sale

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of a sale: the closed set of hoko_sales_total's label.
const (
	outcomeRecorded     = "recorded"
	outcomeReplayed     = "replayed"
	outcomeUnattributed = "unattributed"
	outcomeMismatch     = "idempotency_mismatch"
	outcomeNotRecorded  = "not_recorded"
	outcomeUnknown      = "unknown"
	outcomeFailed       = "failed"
)

// outcomes counts sales.
type outcomes map[string]prometheus.Counter

func newOutcomes(metrics prometheus.Registerer) outcomes {
	counters := register(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_sales_total",
		Help: "Valid sales that were asked for, by outcome.",
	}, []string{"outcome"}))
	each := outcomes{}
	for _, name := range []string{
		outcomeRecorded, outcomeReplayed, outcomeUnattributed, outcomeMismatch, outcomeNotRecorded, outcomeUnknown, outcomeFailed,
	} {
		each[name] = counters.WithLabelValues(name) // at once: a rate needs the zero before the first
	}
	return each
}

func newDuration(metrics prometheus.Registerer) prometheus.Histogram {
	return register(metrics, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hoko_sale_duration_seconds",
		Help:    "Time from a valid sale to its outcome, waiting included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}))
}

func outcome(recorded *Recorded, err error) string {
	switch {
	case errors.Is(err, ErrUnattributed):
		return outcomeUnattributed
	case errors.Is(err, ErrIdempotencyMismatch):
		return outcomeMismatch
	case errors.Is(err, ErrOutcomeUnknown):
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
