package ratelimit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts decisions and failures. All series exist from the start.
type metrics struct {
	allowed, denied map[Source]prometheus.Counter
	unavailable     prometheus.Counter
	failures        map[failure]prometheus.Counter
	open            prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	auto := promauto.With(registerer)
	decisions := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_ratelimit_decisions_total",
		Help: "Requests decided: allowed, denied or unavailable; by redis, from memory (a denial that still holds), " +
			"locally (Redis is away) or by none (Redis is away and the limit's on_error says so).",
	}, []string{"outcome", "source"})
	errs := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_redis_errors_total",
		Help: "Calls that Redis did not answer as it should, by class.",
	}, []string{"class"})
	m := &metrics{
		allowed:  map[Source]prometheus.Counter{},
		denied:   map[Source]prometheus.Counter{},
		failures: map[failure]prometheus.Counter{},
		open: auto.NewGauge(prometheus.GaugeOpts{
			Name: "hoko_redis_breakers_open",
			Help: "Redis nodes that are not asked because they did not answer.",
		}),
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

func (m *metrics) decided(d Decision) {
	if d.Allowed {
		m.allowed[d.Source].Inc()
		return
	}
	m.denied[d.Source].Inc()
}

func (m *metrics) failed(err error) { m.failures[classify(err)].Inc() }
