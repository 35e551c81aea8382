package doctor

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/ratelimit"
)

func TestRedis_MemoryAndPersistence(t *testing.T) {
	server := testenv.RedisServer(t)
	options, err := redis.ParseURL(server.URL())
	testenv.NoError(t, err)
	client := redis.NewClient(options)
	defer client.Close()
	for _, tc := range []struct {
		name, commands string
		want           []string
	}{
		{"no limit", "CONFIG SET maxmemory 0", []string{"ok    redis-memory: there is no maxmemory",
			"ok    redis-persistence: Redis saves nothing: after a restart, every bucket is full again"}},
		{"evicts", "CONFIG SET maxmemory 100mb; CONFIG SET maxmemory-policy volatile-ttl", []string{
			"warn  redis-memory: maxmemory-policy is volatile-ttl: a full Redis evicts buckets",
			"fix: set maxmemory-policy noeviction", "each edge decides limits by itself"}},
		{"evicts nothing", "CONFIG SET maxmemory-policy noeviction", []string{
			"ok    redis-memory: no bucket is evicted (noeviction); if maxmemory is reached"}},
		{"snapshots", "CONFIG SET maxmemory 0; CONFIG SET save 3600_1", []string{
			"ok    redis-persistence: Redis saves snapshots: a restart forgets"}},
		{"a log", "CONFIG SET appendonly yes", []string{
			"ok    redis-persistence: Redis writes a log of changes (appendfsync everysec)"}},
		{"waits for the disk", "CONFIG SET appendfsync always", []string{
			"warn  redis-persistence: appendfsync is always: each limit waits for the disk",
			"fix: set appendfsync everysec"}},
		{"no CONFIG", "ACL SETUSER default -config", []string{
			"ok    redis-persistence: Redis writes a log of changes (appendfsync cannot be read without +config|get)"}},
		{"no INFO", "ACL SETUSER default -info", []string{"ok    redis: redis decides",
			"ok    redis-memory: whether Redis evicts buckets cannot be read: the right +info would show it",
			"ok    redis-persistence: what a restart of Redis forgets cannot be read"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for command := range strings.SplitSeq(tc.commands, "; ") {
				var args []any
				for _, word := range strings.Fields(command) {
					args = append(args, strings.ReplaceAll(word, "_", " "))
				}
				testenv.NoError(t, client.Do(t.Context(), args...).Err())
			}
			c := checks{Options: Options{RedisURL: server.URL()}}
			c.redis(testenv.Guarded(t))
			var printed strings.Builder
			c.Write(&printed, false)
			wantTexts(t, printed.String(), tc.want...)
			if c.Warnings != strings.Count(strings.Join(tc.want, ""), "warn  ") {
				t.Errorf("it found\n%s", printed.String())
			}
		})
	}
}

func TestRedis_NearlyFull(t *testing.T) {
	var r Report
	for _, used := range []string{"90", "91"} {
		r.redisMemory("10.0.0.1:6379: ", ratelimit.Node{Info: map[string]string{
			"maxmemory": "100", "used_memory": used, "maxmemory_policy": "noeviction"}})
	}
	const want = "warn  redis-memory: 10.0.0.1:6379: 91 % of maxmemory are used: when it is full, each edge decides " +
		"limits by itself\n      fix: raise maxmemory"
	if len(r.Findings) != 2 || r.Findings[0].Severity != OK || r.Findings[1].String() != want {
		t.Errorf("it found %v", r.Findings)
	}
}
