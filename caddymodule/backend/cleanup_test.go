package backend

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/ratelimit"
)

// cleanedAt returns the metric hoko_idempotency_cleanup_timestamp_seconds.
func cleanedAt(t *testing.T) float64 {
	t.Helper()
	families, err := Metrics.Gather()
	testenv.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "hoko_idempotency_cleanup_timestamp_seconds" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no such metric")
	return 0
}

func clean(t *testing.T, dsn string) {
	t.Helper()
	_, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), dsn, admin.MinKeyAge)
	testenv.NoError(t, err)
}

func TestCleanUp_MetricOfAStartedBackend(t *testing.T) {
	dsn := testenv.Database(t)
	clean(t, dsn)
	l, err := NewLease(Settings{
		Postgres: postgres.Options{DSN: dsn}, Limits: ratelimit.Options{URL: "redis://127.0.0.1:1"},
	}, slog.DiscardHandler)
	testenv.NoError(t, err)
	defer DropExpiring()
	defer l.Release(0)
	if at := cleanedAt(t); at != 0 {
		t.Errorf("%v before the start", at)
	}
	l.Use()
	testenv.Until(t, "the metric is known", func() bool { return cleanedAt(t) != 0 })
	if late := float64(time.Now().Unix()) - cleanedAt(t); math.Abs(late) > 60 {
		t.Errorf("the metric is %v s late", late)
	}
}

// newCleanUp returns a cleanUp of the database.
func newCleanUp(t *testing.T, dsn string) (*cleanUp, *testenv.Log) {
	t.Helper()
	store, err := keys.NewStore(postgres.Options{DSN: dsn})
	testenv.NoError(t, err)
	t.Cleanup(store.Close)
	log := new(testenv.Log)
	return &cleanUp{store: store, logger: log.Logger()}, log
}

func TestCleanUp_FollowsUntilStopped(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	c, log := newCleanUp(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { c.run(ctx, time.Millisecond); close(stopped) }()
	for _, day := range []int64{20_000, 20_002, 20_001} {
		clean(t, dsn)
		db.Exec("UPDATE hoko.maintenance SET done_at = to_timestamp($1)", day*86_400)
		testenv.Until(t, "the new time is read", func() bool { return c.at.Load() == day*86_400 })
	}
	cancel()
	<-stopped
	if log.String() != "" {
		t.Errorf("logged %s", log)
	}
}

// A failure is logged once, and the last known time stays.
func TestCleanUp_Failures(t *testing.T) {
	server := testenv.Postgres(t)
	dsn, ctx := server.DSN("postgres"), testenv.Guarded(t)
	testenv.NoError(t, postgres.Migrate(ctx, dsn, nil))
	db := testenv.Connect(t, dsn)
	db.Exec("INSERT INTO hoko.maintenance VALUES ('idempotency clean', to_timestamp(86400))")
	c, log := newCleanUp(t, dsn)
	c.read(ctx)
	failures := 0
	fail := func(text string, fail, restore func()) {
		t.Helper()
		failures++
		fail()
		for range 3 {
			c.read(ctx)
		}
		restore()
		if log.Count("level=WARN") != failures || !log.HasLine("is not updated", text) {
			t.Errorf("logged %s", log)
		}
		c.read(ctx)
		if at := c.at.Load(); at != 86_400 {
			t.Errorf("%s: the time is %d", text, at)
		}
	}
	fail("hoko.maintenance does not exist", func() { db.Exec("ALTER TABLE hoko.maintenance RENAME TO moved") },
		func() { db.Exec("ALTER TABLE hoko.moved RENAME TO maintenance") })
	fail("connect", func() { db.Close(); server.Stop() }, func() { server.Start(t) })

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	c.read(canceled)
	if log.Count("level=WARN") != failures {
		t.Errorf("logged %s", log)
	}
}
