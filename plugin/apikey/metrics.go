package apikey

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/metric"
)

// metrics holds each counter, because finding one by its label would cost more than the cached
// authentication that it counts.
type metrics struct {
	ok, missingScopes, earlyData prometheus.Counter
	guessesSpent, unavailable    prometheus.Counter
	clientGone                   prometheus.Counter
	rejected                     map[Cause]prometheus.Counter
	found, notFound, failed      prometheus.Counter
	stale, unannounced           prometheus.Counter
	keyHits, keyMisses           prometheus.Counter
	unknownHits, unknownMisses   prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	auth := metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_auth_total",
		Help: "Requests by outcome: ok, the cause of a 401, missing_scopes (403), early_data (425), " +
			"guesses_spent (429), unavailable (503), or client_gone.",
	}, []string{"outcome"}))
	lookups := metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_key_lookups_total",
		Help: "Keys looked up in the store, by result: found, not_found, or error.",
	}, []string{"result"}))
	cache := metric.Share(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoko_key_cache_total",
		Help: "Requests with a key, by layer of the cache (key; unknown: keys that do not exist, asked on a miss of " +
			"the first) and result: hit or miss.",
	}, []string{"layer", "result"}))
	m := &metrics{
		keyHits:       cache.WithLabelValues("key", "hit"),
		keyMisses:     cache.WithLabelValues("key", "miss"),
		unknownHits:   cache.WithLabelValues("unknown", "hit"),
		unknownMisses: cache.WithLabelValues("unknown", "miss"),
		ok:            auth.WithLabelValues("ok"),
		missingScopes: auth.WithLabelValues("missing_scopes"),
		earlyData:     auth.WithLabelValues("early_data"),
		guessesSpent:  auth.WithLabelValues("guesses_spent"),
		unavailable:   auth.WithLabelValues("unavailable"),
		clientGone:    auth.WithLabelValues("client_gone"),
		rejected:      map[Cause]prometheus.Counter{},
		found:         lookups.WithLabelValues("found"),
		notFound:      lookups.WithLabelValues("not_found"),
		failed:        lookups.WithLabelValues("error"),
		stale: metric.Share(registerer, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hoko_key_stale_total",
			Help: "Uses of cached keys that were due for a lookup that the store could not answer.",
		})),
		unannounced: metric.Share(registerer, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hoko_key_unannounced_changes_total",
			Help: "Changes of keys that a lookup found and no notification announced: the triggers do not work.",
		})),
	}
	for _, cause := range causes {
		m.rejected[cause] = auth.WithLabelValues(string(cause))
	}
	return m
}

// foundInCache counts a request with a key by what the caches know of it.
func (m *metrics) foundInCache(cached *entry, current bool) {
	switch {
	case !current:
		m.keyMisses.Inc()
		m.unknownMisses.Inc()
	case cached == nil:
		m.keyMisses.Inc()
		m.unknownHits.Inc()
	default:
		m.keyHits.Inc()
	}
}

// authenticated counts the outcome of the request with context ctx.
func (m *metrics) authenticated(ctx context.Context, err error) {
	if err == nil {
		m.ok.Inc()
		return
	}
	if rejected, ok := errors.AsType[*Rejected](err); ok {
		m.rejected[rejected.Cause].Inc()
		return
	}
	_, isScopes := errors.AsType[*MissingScopes](err)
	_, isSpent := errors.AsType[*GuessesSpent](err)
	switch {
	case isScopes:
		m.missingScopes.Inc()
	case isSpent:
		m.guessesSpent.Inc()
	case ctx.Err() != nil:
		m.clientGone.Inc()
	default:
		m.unavailable.Inc()
	}
}

// lookedUp counts the lookup of a key.
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
