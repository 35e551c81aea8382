package sale

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// register registers a collector and returns it, or the one that is there
// already: several handlers of one edge count together.
func register[C prometheus.Collector](metrics prometheus.Registerer, collector C) C {
	if metrics == nil {
		return collector
	}
	var registered prometheus.AlreadyRegisteredError
	if errors.As(metrics.Register(collector), &registered) {
		if existing, ok := registered.ExistingCollector.(C); ok {
			return existing
		}
	}
	return collector
}
