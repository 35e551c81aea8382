package postgres

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type saleMetrics struct {
	batch     prometheus.Histogram
	statement prometheus.Histogram
	shed      prometheus.Counter
	failures  *prometheus.CounterVec
}

func newSaleMetrics(registry prometheus.Registerer, queued func() int) *saleMetrics {
	auto := promauto.With(registry)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoko_sale_queue_depth",
		Help: "Sales that wait to be sent to the database, those in the slow lane included.",
	}, func() float64 { return float64(queued()) })
	m := &saleMetrics{
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

// SaleStats is a snapshot of a SaleStore for an operator.
type SaleStats struct {
	Writers       int   `json:"writers"`        // connections for batches
	Active        int64 `json:"active"`         // sales accepted and not yet answered
	Queued        int   `json:"queued"`         // of those, not yet taken by a writer
	SlowCustomers int   `json:"slow_customers"` // customers in the slow lane
	SlowSales     int   `json:"slow_sales"`     // sales that wait for them
}

// Stats of this moment.
func (s *SaleStore) Stats() SaleStats {
	stats := SaleStats{Writers: len(s.writers.all), Active: s.accepted.Load()}
	for _, w := range s.writers.all {
		stats.Queued += w.queue.len()
	}
	stats.SlowCustomers, stats.SlowSales = s.slow.len()
	return stats
}

// waiting is how many sales are not on their way.
func (s *SaleStore) waiting() int {
	stats := s.Stats()
	return stats.Queued + stats.SlowSales
}

// seldom lets one message through in a while.
type seldom struct{ next atomic.Int64 }

const seldomPause = 10 * time.Second

func (s *seldom) now() bool {
	now := time.Now().UnixNano()
	next := s.next.Load()
	return now >= next && s.next.CompareAndSwap(next, now+int64(seldomPause))
}
