package backend

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"hoko.to/edge/plugin/ratelimit"
)

// active is the backend of the config that started last.
var active atomic.Pointer[Backend]

// Active returns the backend of the config that started last, or nil before the first one.
func Active() *Backend { return active.Load() }

// Down returns the parts that the edge cannot use now: postgres unless a heartbeat of the last
// seconds proves that changed keys arrive, and redis unless it answers a PING.
func (b *Backend) Down(ctx context.Context) []string {
	var down []string
	if !b.Keys.Stats().Listening {
		down = append(down, "postgres")
	}
	if b.redis.down(ctx, b.Limiter) {
		down = append(down, "redis")
	}
	return down
}

// pingInterval is the minimum time between two PINGs, however often health is asked for.
const pingInterval = time.Second

// redisPing is the result of the last PING.
type redisPing struct {
	mu   sync.Mutex // held during the PING, so that concurrent callers share it
	at   time.Time
	lost bool
}

func (p *redisPing) down(ctx context.Context, limiter *ratelimit.Limiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) >= pingInterval {
		p.lost = limiter.Ping(context.WithoutCancel(ctx)) != nil
		p.at = time.Now()
	}
	return p.lost
}
