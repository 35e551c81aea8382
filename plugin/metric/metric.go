// Package metric registers the metrics that several values of a process share.
package metric

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Share registers collector and returns it, or the equal one that registerer has already: so all
// values that count the same thing share its counters, which survive each of them. If registerer is
// nil, collector is not registered. Share panics if the metrics cannot be registered.
func Share[C prometheus.Collector](registerer prometheus.Registerer, collector C) C {
	if registerer == nil {
		return collector
	}
	err := registerer.Register(collector)
	if existing, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return existing.ExistingCollector.(C)
	}
	if err != nil {
		panic(err)
	}
	return collector
}

// Counters returns a counter for each value of a label, shared like Share's. All of them exist from
// the start, because a rate needs a zero before the first event.
func Counters(
	registerer prometheus.Registerer, name, help, label string, values ...string,
) map[string]prometheus.Counter {
	vec := Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}))
	counters := make(map[string]prometheus.Counter, len(values))
	for _, value := range values {
		counters[value] = vec.WithLabelValues(value)
	}
	return counters
}

// Histogram returns a shared histogram.
func Histogram(registerer prometheus.Registerer, name, help string, buckets []float64) prometheus.Histogram {
	o := prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
	return Share(registerer, prometheus.NewHistogram(o))
}

// Counter returns a shared counter.
func Counter(registerer prometheus.Registerer, name, help string) prometheus.Counter {
	return Share(registerer, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}
