package sale

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/metric"
)

// metrics holds the metrics of a Recorder and of the Handlers that share it.
type metrics struct {
	sales      map[string]prometheus.Counter // by outcome
	rejections map[string]prometheus.Counter // by cause
	attributed map[string]prometheus.Counter // by attribution
	duration   prometheus.Histogram
}

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

func newMetrics(r prometheus.Registerer) metrics {
	return metrics{
		sales: metric.Counters(r, "hoko_sales_total", "Valid requests for a sale, by outcome.", "outcome",
			outcomeRecorded, outcomeReplayed, outcomeUnattributed, outcomeMismatch, outcomeNotRecorded,
			outcomeUnknown, outcomeFailed),
		rejections: metric.Counters(r, "hoko_sale_refusals_total",
			"Requests for a sale that track_sale rejected with a 4xx, by cause.", "cause",
			causeScopes, causeEncoding, causeTooLarge, causeTimeout, causeAborted, causeInvalid, causeMismatch),
		attributed: metric.Counters(r, "hoko_sales_attributed_total", "Recorded sales, by what attributed them.",
			"attribution", string(LeadEvent), string(Click), string(LatestLead)),
		duration: metric.Histogram(r, "hoko_sale_duration_seconds",
			"Time from a valid request for a sale to its outcome, including time in the queue.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
	}
}

// count counts a call of Record.
func (m *metrics) count(recorded *Recorded, err error, took time.Duration) {
	outcome := outcome(recorded, err)
	m.sales[outcome].Inc()
	m.duration.Observe(took.Seconds())
	if outcome == outcomeRecorded {
		if counter, known := m.attributed[string(recorded.Attribution)]; known {
			counter.Inc()
		}
	}
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
