package request

import (
	"net/http"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// LogFailure logs the cause of a 5xx at level ERROR, because Caddy logs errors that error routes
// answer only at level DEBUG, and a site may have no access log. For each part and status, it logs
// at most ten failures in a second. The next line says how many it has omitted.
func LogFailure(r *http.Request, logger *zap.Logger, part Part, status int, err error) {
	id := Of(r).requestID(r) // puts it into the access log even if the failure is omitted here
	omitted, due := throttleFor(part, status).due()
	if !due {
		return
	}
	// With slog, Caddy would add a stack trace to each error, which fills disks in an outage.
	fields := []zap.Field{zap.String("uuid", id), zap.Int("status", status), zap.Error(err)}
	if omitted > 0 {
		fields = append(fields, zap.Int64("omitted", omitted))
	}
	logger.Error("request failed", fields...)
}

// throttle bounds the lines about failures.
type throttle struct {
	limiter *rate.Limiter
	omitted atomic.Int64 // since the last line
}

// newThrottle returns a throttle that is due five times and then five times a second: at most ten
// times in any second.
func newThrottle() *throttle { return &throttle{limiter: rate.NewLimiter(5, 5)} }

// due reports whether to log a failure now, and how many have been omitted since the last line.
func (t *throttle) due() (omitted int64, due bool) {
	if !t.limiter.Allow() {
		t.omitted.Add(1)
		return 0, false
	}
	return t.omitted.Swap(0), true
}

// failure is a kind of failures that have a throttle of their own.
type failure struct {
	part   Part
	status int // 0 for all that are not listed in newThrottles: a config may make up any number
}

var throttles = newThrottles()

func newThrottles() map[failure]*throttle {
	all := map[failure]*throttle{}
	for _, part := range []Part{Auth, Limit, Sale, Site} {
		for _, status := range []int{
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
			http.StatusGatewayTimeout, 0,
		} {
			all[failure{part, status}] = newThrottle()
		}
	}
	return all
}

func throttleFor(part Part, status int) *throttle {
	if t := throttles[failure{part, status}]; t != nil {
		return t
	}
	return throttles[failure{part, 0}]
}
