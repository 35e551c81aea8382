package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/ratelimit"
)

// redis has Redis decide a limit, with a key that begins as those of the edge do.
func (r *Report) redis(ctx context.Context, url, prefix string) {
	const about = "redis"
	if url == "" {
		r.fail(about, errors.New("no address"), "set REDIS_URL, e.g. redis://host:6379/0, or give --redis-url")
		return
	}
	limiter, err := ratelimit.New(ratelimit.Options{URL: url, Prefix: prefix, Timeout: patience})
	if err != nil {
		r.fail(about, err, "check REDIS_URL")
		return
	}
	defer limiter.Close()
	before := time.Now()
	server, err := limiter.Server(ctx)
	if err != nil {
		r.fail(about, err, "check REDIS_URL, the network and the server's ACL")
		return
	}
	r.clock(about, server.Clock, before)
	request := ratelimit.Request{Name: "doctor", Limit: limit.Limit{Rate: 1000, Period: time.Second, Burst: 1000}, OnError: ratelimit.Deny}
	rand.Read(request.Bucket[:])
	if _, err := limiter.Allow(ctx, request); err != nil {
		r.fail(about, err, fmt.Sprintf("the user needs EVALSHA, EVAL and the commands of the script on the keys rate:%s*; memory and replicas must admit writes",
			cmp.Or(prefix, "hoko:")))
		return
	}
	r.ok(about, "%s %s decides limits", server.Name, server.Version)
}
