package keys_test

import (
	"context"
	"errors"
	"testing"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

// events receives what a listener reports, as text.
type events chan string

func (e events) Notify(payload string) { e <- "notified " + payload }
func (e events) ListenerUp()           { e <- "up" }
func (e events) ListenerDown()         { e <- "down" }

// expect waits for these events. It fails the test if there is another one.
func (e events) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-e:
			if got != w {
				t.Fatalf("got %s, want %s", got, w)
			}
		case <-testenv.Guarded(t).Done():
			t.Fatalf("no event, want %s", w)
		}
	}
}

// listen runs a listener until the test ends or stop is called. stop returns the result of Run.
func listen(t *testing.T, o postgres.Options) (reported events, stop func() error) {
	t.Helper()
	return listenWith(t, pgtest.OpenKeys(t, o), o)
}

func listenWith(t *testing.T, store *keys.Store, o postgres.Options) (reported events, stop func() error) {
	t.Helper()
	reported = make(events, 100)
	listener, err := keys.NewListener(o, store, reported)
	testenv.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- listener.Run(ctx)
		close(ended)
	}()
	stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(func() { _ = stop() })
	return reported, stop
}

// openRelay opens a relay to the database and returns it with the DSN of its address.
func openRelay(t *testing.T, dsn string) (between *relay.Relay, through string) {
	t.Helper()
	between, through = testenv.Relay(t, dsn)
	testenv.NoError(t, between.Open())
	return between, through
}

func silence(r *relay.Relay) {
	r.Stall(relay.ToServer)
	r.Stall(relay.ToClient)
}

func TestListener_ReportsRevocations(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	hash := seedKey(db, "", "")
	events, _ := listen(t, postgres.Options{DSN: dsn})
	events.expect(t, "up")
	db.Exec(`UPDATE hoko.api_keys SET revoked_at = now()`)
	db.Exec(`UPDATE hoko.workspaces SET disabled_at = now()`)
	db.Exec(`NOTIFY hoko_keys`)
	events.expect(t, "notified key:"+hash.String(), "notified workspace:w1", "notified ")
}

func TestListener_MissesNothingOnceUp(t *testing.T) {
	dsn := testenv.Database(t)
	during := &notifyingSink{events: make(events, 100), db: testenv.Connect(t, dsn)}
	o := postgres.Options{DSN: dsn}
	listener, err := keys.NewListener(o, pgtest.OpenKeys(t, o), during)
	testenv.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(ctx) }()
	during.expect(t, "up", "notified during")
	cancel()
	<-ended
}

type notifyingSink struct {
	events
	db testenv.DB
}

func (s *notifyingSink) ListenerUp() {
	s.events.ListenerUp()
	s.db.Exec(`NOTIFY hoko_keys, 'during'`)
}

func TestListener_ReplacesLostConnection(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	var log testenv.Log
	events, _ := listen(t, postgres.Options{DSN: dsn + "&application_name=listener", Logger: log.Logger()})
	for range 3 {
		events.expect(t, "up")
		db.Exec(`SELECT pg_terminate_backend(pid) `+sessions, "listener")
		events.expect(t, "down")
	}
	events.expect(t, "up")
	db.Exec(`NOTIFY hoko_keys, 'arrives'`)
	events.expect(t, "notified arrives")
	if n := log.Count("level=WARN"); n != 3 {
		t.Errorf("%d warnings, want 3", n)
	}
}

func TestListener_DetectsMutePeer(t *testing.T) {
	dsn := testenv.Database(t)
	between, through := openRelay(t, dsn)
	events, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: through})
	events.expect(t, "up")
	silence(between)
	testenv.Connect(t, dsn).Exec(`NOTIFY hoko_keys, 'lost'`)
	events.expect(t, "down")
	between.Resume()
	events.expect(t, "up")
}

func TestListener_StaysUpWhileIdle(t *testing.T) {
	dsn := testenv.Database(t)
	db, wire, beats := testenv.Connect(t, dsn), pgtest.Tap(t, dsn), make(chan struct{}, 100)
	wire.Delivers = func() bool { beats <- struct{}{}; return true }
	events, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: wire.Working().DSN})
	events.expect(t, "up")
	for range 3 {
		<-beats
	}
	db.Exec(`NOTIFY hoko_keys, '1'; NOTIFY hoko_keys, '2'`)
	events.expect(t, "notified 1", "notified 2")
}

func TestListener_FindsServerThatStartsLater(t *testing.T) {
	dsn := testenv.Database(t)
	between, through := testenv.Relay(t, dsn)
	var log testenv.Log
	events, _ := listen(t, postgres.Options{DSN: through, Logger: log.Logger()})
	testenv.Until(t, "it has tried to connect", func() bool { return log.Count("not listening") > 0 })
	testenv.NoError(t, between.Open())
	events.expect(t, "up")
}

func TestListener_EndsWithItsContext(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	events, stop := listen(t, postgres.Options{DSN: dsn, ListenDSN: dsn + "&application_name=listener"})
	events.expect(t, "up")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	events.expect(t, "down")
	testenv.Until(t, "its connection is closed", func() bool {
		return db.Count(`SELECT count(*) `+sessions, "listener") == 0
	})
	if len(events) > 0 {
		t.Errorf("another event: %s", <-events)
	}
}
