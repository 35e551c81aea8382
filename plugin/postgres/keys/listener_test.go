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

// events are what a listener reports, in words.
type events chan string

func (e events) Notify(payload string) { e <- "notified " + payload }
func (e events) ListenerUp()           { e <- "up" }
func (e events) ListenerDown()         { e <- "down" }

// expect fails at any other event than these, in this order.
func (e events) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-e:
			if got != w {
				t.Fatalf("%s, expected %s", got, w)
			}
		case <-testenv.Guarded(t).Done():
			t.Fatalf("waited in vain for: %s", w)
		}
	}
}

// listen runs a listener until the test ends, or stop is called; stop returns what Run did.
func listen(t *testing.T, o postgres.Options) (heard events, stop func() error) {
	t.Helper()
	return listenBeside(t, pgtest.OpenKeys(t, o), o)
}

func listenBeside(t *testing.T, store *keys.Store, o postgres.Options) (heard events, stop func() error) {
	t.Helper()
	heard = make(events, 100)
	listener, err := keys.NewListener(o, store, heard)
	if err != nil {
		t.Fatal(err)
	}
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
	return heard, stop
}

// openRelay returns an open relay before the database, and the DSN that leads through it.
func openRelay(t *testing.T, dsn string) (between *relay.Relay, through string) {
	t.Helper()
	between, through = testenv.Relay(t, dsn)
	if err := between.Open(); err != nil {
		t.Fatal(err)
	}
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
	heard, _ := listen(t, postgres.Options{DSN: dsn})
	heard.expect(t, "up")
	db.Exec(`UPDATE hoko.api_keys SET revoked_at = now()`)
	db.Exec(`UPDATE hoko.workspaces SET disabled_at = now()`)
	db.Exec(`NOTIFY hoko_keys`)
	heard.expect(t, "notified key:"+hash.String(), "notified workspace:w1", "notified ")
}

func TestListener_MissesNothingOnceUp(t *testing.T) {
	dsn := testenv.Database(t)
	// What commits before Listening returns is heard, as LISTEN was committed before.
	during := &notifyingSink{events: make(events, 100), db: testenv.Connect(t, dsn)}
	o := postgres.Options{DSN: dsn}
	listener, err := keys.NewListener(o, pgtest.OpenKeys(t, o), during)
	if err != nil {
		t.Fatal(err)
	}
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
	heard, _ := listen(t, postgres.Options{DSN: dsn + "&application_name=listener", Logger: log.Logger()})
	for range 3 {
		heard.expect(t, "up")
		db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()`)
		heard.expect(t, "down")
	}
	heard.expect(t, "up")
	db.Exec(`NOTIFY hoko_keys, 'still here'`)
	heard.expect(t, "notified still here")
	if n := log.Count("level=WARN"); n != 3 {
		t.Errorf("warned of %d losses", n)
	}
}

func TestListener_DetectsMutePeer(t *testing.T) {
	dsn := testenv.Database(t)
	between, through := openRelay(t, dsn)
	heard, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: through})
	heard.expect(t, "up")
	silence(between)
	testenv.Connect(t, dsn).Exec(`NOTIFY hoko_keys, 'lost'`)
	heard.expect(t, "down")
	between.Resume()
	heard.expect(t, "up")
}

func TestListener_StaysUpWhileIdle(t *testing.T) {
	// Several heartbeats pass, and what arrives around them is heard once and in order.
	dsn := testenv.Database(t)
	db, wire, beats := testenv.Connect(t, dsn), pgtest.Tap(t, dsn), make(chan struct{}, 100)
	wire.Notifies = func() bool { beats <- struct{}{}; return true }
	heard, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: wire.Working().DSN})
	heard.expect(t, "up")
	for range 3 {
		<-beats
	}
	db.Exec(`NOTIFY hoko_keys, '1'; NOTIFY hoko_keys, '2'`)
	heard.expect(t, "notified 1", "notified 2")
}

func TestListener_FindsServerThatStartsLater(t *testing.T) {
	dsn := testenv.Database(t)
	between, through := testenv.Relay(t, dsn)
	var log testenv.Log
	heard, _ := listen(t, postgres.Options{DSN: through, Logger: log.Logger()})
	testenv.Until(t, "it has tried", func() bool { return log.Count("not listening") > 0 })
	if err := between.Open(); err != nil {
		t.Fatal(err)
	}
	heard.expect(t, "up")
}

func TestListener_EndsWithItsContext(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	heard, stop := listen(t, postgres.Options{DSN: dsn, ListenDSN: dsn + "&application_name=listener"})
	heard.expect(t, "up")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	heard.expect(t, "down")
	testenv.Until(t, "its connection is closed", func() bool {
		return testenv.Value[int](db, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()`) == 0
	})
	if len(heard) > 0 {
		t.Errorf("then %s", <-heard)
	}
}
