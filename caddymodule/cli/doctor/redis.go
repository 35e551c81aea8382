package doctor

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"hoko.to/edge/plugin/ratelimit"
)

// redis checks that Redis decides limits, on keys with the edge's prefix.
func (r *Report) redis(ctx context.Context, url, prefix string) {
	const about = "redis"
	if url == "" {
		r.fail(about, errors.New("no address"), "set REDIS_URL, e.g. redis://host:6379/0, or give --redis-url")
		return
	}
	before := time.Now()
	server, err := ratelimit.Check(ctx, ratelimit.Options{URL: url, Prefix: prefix})
	fault, faulty := errors.AsType[*ratelimit.Fault](err)
	switch {
	case faulty && server.Took > 0: // the edge may have a longer timeout
		r.warn(about, fault.Err.Error(), fault.Fix)
	case faulty:
		r.fail(about, fault.Err, fault.Fix)
		return
	case err != nil:
		r.fail(about, err, "check REDIS_URL")
		return
	case server.Cluster:
		r.ok(about, "a Cluster of %s decides limits", software(server))
	default:
		r.ok(about, "%s decides limits", software(server))
	}
	r.compareClocks(about, server.Clock, before)
}

// software returns the name and version of the server, as far as the user may see them.
func software(server ratelimit.Server) string {
	return strings.TrimSpace(cmp.Or(server.Name, "redis") + " " + server.Version)
}
