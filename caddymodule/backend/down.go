package backend

import (
	"sync"
	"time"
)

// Down returns the names of the parts that the edge cannot use now: postgres, listener, redis.
// docs/operations.md, "Health", says when each counts as down. Down returns within the timeout of
// Redis, at most 500 ms.
func (b *Backend) Down() (parts []string) {
	listening := b.Keys.Listening() // not Stats, which visits every key
	undelivered := !listening && b.listener.HeartbeatLost()
	if !listening && !undelivered || b.saleStore.Unreachable() {
		parts = append(parts, "postgres")
	}
	if undelivered {
		parts = append(parts, "listener")
	}
	if b.redisCheck.failed(b.Limiter.Check) {
		parts = append(parts, "redis")
	}
	return parts
}

// checkInterval is the minimum time between two checks of Redis, however often health is asked for.
const checkInterval = time.Second

// throttledCheck remembers the result of a check.
type throttledCheck struct {
	mu  sync.Mutex // held during the check, so that concurrent callers share it
	at  time.Time
	err error
}

// failed reports whether the check fails, or has failed within the last checkInterval.
func (c *throttledCheck) failed(check func() error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) >= checkInterval {
		c.err = check()
		c.at = time.Now()
	}
	return c.err != nil
}
