package ratelimit

import (
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/metric"
)

// metrics counts decisions and calls to Redis. Each label starts at zero; for the names of limits,
// see CountDenials.
type metrics struct {
	allowed, denied map[Source]prometheus.Counter
	unavailable     prometheus.Counter
	deniedBy        *prometheus.CounterVec
	failures        map[failure]prometheus.Counter
	calls           prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	decisions := metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_ratelimit_decisions_total",
		Help: "Decisions by outcome (allowed, denied or unavailable) and source: redis, " +
			"memory (a remembered denial), local (without Redis) or none (on_error is allow or deny).",
	}, []string{"outcome", "source"}))
	errs := metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_redis_errors_total",
		Help: "Failed calls to Redis, by class.",
	}, []string{"class"}))
	m := &metrics{
		deniedBy: metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_ratelimit_denied_total",
			Help: "Denied requests by the name of the limit that makes the client wait longest.",
		}, []string{"limit"})),
		allowed:  map[Source]prometheus.Counter{},
		denied:   map[Source]prometheus.Counter{},
		failures: map[failure]prometheus.Counter{},
		calls: metric.Share(registerer, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "hoko_redis_call_seconds",
			Help:    "Time of a call to Redis for one decision, failed calls included, calls that a breaker stops not.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		})),
		unavailable: decisions.WithLabelValues("unavailable", string(FromNone)),
	}
	for _, s := range []Source{FromRedis, FromMemory, FromLocal, FromNone} {
		if s != FromMemory {
			m.allowed[s] = decisions.WithLabelValues("allowed", string(s))
		}
		if s != FromNone {
			m.denied[s] = decisions.WithLabelValues("denied", string(s))
		}
	}
	for _, f := range failures {
		m.failures[f] = errs.WithLabelValues(string(f))
	}
	return m
}

func (m *metrics) countDecision(d Decision) {
	if d.Allowed {
		m.allowed[d.Source].Inc()
		return
	}
	m.denied[d.Source].Inc()
	m.deniedBy.WithLabelValues(d.Name).Inc()
}

func (m *metrics) countFailure(err error) { m.failures[classify(err)].Inc() }

// CountDenials makes hoko_ratelimit_denied_total show a limit before it denies anything.
func (l *Limiter) CountDenials(name string) { l.metrics.deniedBy.WithLabelValues(name) }
