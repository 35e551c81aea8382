package commands

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestGarbageCollector_IsTunedUnlessGOGCIsSet(t *testing.T) {
	tuned := startWithGOGC(t, "")
	testenv.Until(t, "the edge has tuned its garbage collector",
		func() bool { return goMetric(t, tuned, "go_gc_gogc_percent") > 100 })

	left := startWithGOGC(t, "150")
	testenv.Until(t, "the edge would have tuned its garbage collector", func() bool {
		started := goMetric(t, left, "process_start_time_seconds")
		return time.Since(time.Unix(int64(started), 0)) > 4*time.Second
	})
	if percent := goMetric(t, left, "go_gc_gogc_percent"); percent != 150 {
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

func goMetric(t *testing.T, e *harness.Edge, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(e.AdminGet(t, "/metrics"))
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	value, err := strconv.ParseFloat(m[1], 64)
	testenv.NoError(t, err)
	return value
}
