package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hoko.to/edge/plugin/ratelimit"
)

// redis checks that Redis decides limits, on keys with the edge's prefix, and keeps the buckets.
func (c *checks) redis(ctx context.Context) {
	const about = "redis"
	if c.RedisURL == "" {
		c.fail(about, errors.New("no address"), "set REDIS_URL, e.g. redis://host:6379/0, or give --redis-url")
		return
	}
	before := time.Now()
	o := ratelimit.Options{URL: c.RedisURL, Prefix: c.RedisPrefix, Timeout: c.RedisTimeout}
	server, err := ratelimit.Check(ctx, o)
	fault, faulty := errors.AsType[*ratelimit.Fault](err)
	switch {
	case faulty && server.Took > 0: // the edge may have a longer timeout
		c.warn(about, fault.Err.Error(), fault.Fix)
	case faulty:
		c.fail(about, fault.Err, fault.Fix)
		return
	case err != nil:
		c.fail(about, err, "check REDIS_URL")
		return
	case server.Cluster:
		c.ok(about, "a Cluster of %s decides limits", software(server))
	default:
		c.ok(about, "%s decides limits", software(server))
	}
	for _, node := range server.Nodes {
		name := ""
		if node.Address != "" {
			name = node.Address + ": "
		}
		c.compareClocks(about, name, node.Clock, before)
		c.redisMemory(name, node)
		c.redisPersistence(name, node)
	}
}

// software returns the name and version of the server, as far as the user may see them.
func software(server ratelimit.Server) string {
	return strings.TrimSpace(cmp.Or(server.Name, "redis") + " " + server.Version)
}

// redisMemory checks that Redis does not evict buckets.
func (r *Report) redisMemory(name string, node ratelimit.Node) {
	const about = "redis-memory"
	limit, _ := strconv.ParseFloat(node.Info["maxmemory"], 64)
	used, _ := strconv.ParseFloat(node.Info["used_memory"], 64)
	policy := node.Info["maxmemory_policy"]
	switch {
	case policy == "":
		r.ok(about, "whether Redis evicts buckets cannot be read: the right +info would show it")
	case limit == 0:
		r.ok(about, "there is no maxmemory, so no bucket is evicted")
	case policy != "noeviction":
		r.warn(about, fmt.Sprintf("%smaxmemory-policy is %s: a full Redis evicts buckets, and their keys get a full "+
			"bucket early", name, policy),
			"set maxmemory-policy noeviction and a maxmemory that suffices; a Redis that is full all the same "+
				"rejects writes, and each edge decides limits by itself")
	case used > 0.9*limit:
		r.warn(about, fmt.Sprintf("%s%.0f %% of maxmemory are used: when it is full, each edge decides limits by "+
			"itself", name, 100*used/limit), "raise maxmemory")
	default:
		r.ok(about, "no bucket is evicted (noeviction); if maxmemory is reached, each edge decides limits by itself")
	}
}

// redisPersistence says what a restart of Redis forgets.
func (r *Report) redisPersistence(name string, node ratelimit.Node) {
	const about = "redis-persistence"
	save, readable := node.Config["save"]
	sync := node.Config["appendfsync"]
	switch {
	case node.Info["aof_enabled"] == "1" && sync == "always":
		r.warn(about, name+"appendfsync is always: each limit waits for the disk",
			"set appendfsync everysec; a bucket is worth less than its latency")
	case node.Info["aof_enabled"] == "1":
		r.ok(about, "Redis writes a log of changes (appendfsync %s): a restart forgets little",
			cmp.Or(sync, "cannot be read without +config|get"))
	case node.Info == nil || !readable:
		r.ok(about, "what a restart of Redis forgets cannot be read: the rights +info +config|get would show it; "+
			"at worst, every bucket is full again")
	case save != "":
		r.ok(about, "Redis saves snapshots: a restart forgets what was charged since the last one")
	default:
		r.ok(about, "Redis saves nothing: after a restart, every bucket is full again")
	}
}
