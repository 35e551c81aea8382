package metric_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"hoko.to/edge/plugin/metric"
)

func counter(labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "calls_total", Help: "Calls."}, labels)
}

func TestShare_CountersAddUp(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		metric.Share(registry, counter("kind")).WithLabelValues("a").Inc()
	}
	metric.Share(nil, counter("kind")).WithLabelValues("a").Inc() // registered nowhere
	var counted dto.Metric
	metric.Share(registry, counter("kind")).WithLabelValues("a").Write(&counted)
	if got := counted.GetCounter().GetValue(); got != 2 {
		t.Errorf("counted %v, want 2", got)
	}
}

func TestShare_OtherLabelsPanic(t *testing.T) {
	registry := prometheus.NewRegistry()
	metric.Share(registry, counter("kind"))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	metric.Share(registry, counter("cause"))
}
