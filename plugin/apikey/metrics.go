package apikey

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics holds every counter ready, as finding one by its label would cost
// more than the cached authentication that it counts.
type metrics struct {
	ok, guessesSpent, unavailable prometheus.Counter
	refused                       map[Cause]prometheus.Counter
	found, notFound, failed       prometheus.Counter
	stale                         prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	auto := promauto.With(registerer)
	auth := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_auth_total",
		Help: "Authenticated requests by outcome: ok, a cause of refusal, guesses_spent, or unavailable.",
	}, []string{"outcome"})
	lookups := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_key_lookups_total",
		Help: "Keys asked of the store, each of a batch, by result: found, not_found, or error.",
	}, []string{"result"})
	m := &metrics{
		ok:           auth.WithLabelValues("ok"),
		guessesSpent: auth.WithLabelValues("guesses_spent"),
		unavailable:  auth.WithLabelValues("unavailable"),
		refused:      map[Cause]prometheus.Counter{},
		found:        lookups.WithLabelValues("found"),
		notFound:     lookups.WithLabelValues("not_found"),
		failed:       lookups.WithLabelValues("error"),
		stale: auto.NewCounter(prometheus.CounterOpts{
			Name: "hoko_key_stale_total",
			Help: "Cached keys used past their time because the store could not answer.",
		}),
	}
	for _, cause := range causes {
		m.refused[cause] = auth.WithLabelValues(string(cause))
	}
	return m
}

// registerGauges registers what is read from stats.
func registerGauges(registerer prometheus.Registerer, stats func() Stats) {
	gauge := func(name, help string, value func() float64) {
		promauto.With(registerer).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("hoko_key_cache_entries", "Keys in the cache.", func() float64 { return float64(stats().Keys) })
	gauge("hoko_key_unknown_entries", "Unknown keys that are remembered for a moment.",
		func() float64 { return float64(stats().Unknown) })
	gauge("hoko_key_listener_up", "1 while revocations are heard of as they happen, else 0.", func() float64 {
		if stats().Listening {
			return 1
		}
		return 0
	})
}

// authenticated counts a request by what it came to.
func (m *metrics) authenticated(err error) {
	if err == nil {
		m.ok.Inc()
		return
	}
	if refused, ok := errors.AsType[*Refused](err); ok {
		m.refused[refused.Cause].Inc()
		return
	}
	if _, ok := errors.AsType[*GuessesSpent](err); ok {
		m.guessesSpent.Inc()
		return
	}
	m.unavailable.Inc()
}

// lookedUp counts an answer of the store.
func (m *metrics) lookedUp(err error) {
	switch {
	case err == nil:
		m.found.Inc()
	case errors.Is(err, ErrNotFound):
		m.notFound.Inc()
	default:
		m.failed.Inc()
	}
}
