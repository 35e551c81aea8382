package sales

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	batch     prometheus.Histogram
	statement prometheus.Histogram
	shed      prometheus.Counter
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
		shed: auto.NewCounter(prometheus.CounterOpts{
			Name: "hoko_sale_shed_total",
			Help: "Sales that were refused because too many were waiting.",
		}),
		failures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "hoko_sale_statement_failures_total",
			Help: "Statements that failed, by class of SQLSTATE; 08: the connection was lost, unsent: before anything was sent.",
		}, []string{"class"}),
	}
	for _, class := range failureClasses {
		m.failures.WithLabelValues(class) // a rate needs the zero before the first
	}
	return m
}

// registerQueueDepth registers the gauge of the sales that queued counts.
func registerQueueDepth(registry prometheus.Registerer, queued func() int) {
	promauto.With(registry).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_queue_depth",
		Help: "Sales that wait to be sent to the database, those in the slow lane included.",
	}, func() float64 { return float64(queued()) })
}
