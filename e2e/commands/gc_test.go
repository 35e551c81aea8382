package commands

import (
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestGarbageCollector_IsTunedUnlessGOGCIsSet(t *testing.T) {
	tuned := startWithGOGC(t, "")
	const percentage = "go_gc_gogc_percent"
	testenv.Until(t, "the edge has tuned it", func() bool { return tuned.Metric(t, percentage) > 100 })

	left := startWithGOGC(t, "150")
	testenv.Until(t, "the edge would have tuned its garbage collector", func() bool {
		started := left.Metric(t, "process_start_time_seconds")
		return time.Since(time.Unix(int64(started), 0)) > 4*time.Second
	})
	if percent := left.Metric(t, percentage); percent != 150 {
		t.Errorf("GOGC=150, but the garbage collector uses %v", percent)
	}
}

func startWithGOGC(t *testing.T, percent string) *harness.Edge {
	t.Helper()
	return harness.Start(t, harness.Settings{
		DatabaseURL: "postgres://127.0.0.1:1/none", RedisURL: "redis://127.0.0.1:1", Upstream: "127.0.0.1:1",
		Env: []string{"GOGC=" + percent},
	})
}
