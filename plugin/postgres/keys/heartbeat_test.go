package keys_test

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// logLines are those of a log, one after the other.
type logLines chan string

func newLogLines() (logLines, *slog.Logger) {
	l := make(logLines, 100)
	return l, slog.New(slog.NewTextHandler(l, nil))
}

func (l logLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// expect waits for a line that says all of this.
func (l logLines) expect(t *testing.T, want ...string) {
	t.Helper()
	for {
		select {
		case line := <-l:
			missing := false
			for _, w := range want {
				missing = missing || !strings.Contains(line, w)
			}
			if !missing {
				return
			}
		case <-pgtest.Guarded(t).Done():
			t.Fatalf("no line says %q", want)
		}
	}
}

// A pooler in transaction mode answers all that it is asked, the listener's
// questions included, and hands it no notification.
func TestForgottenListenIsNoticed(t *testing.T) {
	dsn := testenv.Database(t)
	db, pooler := pgtest.Connect(t, dsn), pgtest.Tap(t, dsn)
	var forgets atomic.Bool
	pooler.Notifies = func() bool { return !forgets.Load() }
	log, logger := newLogLines()
	heard, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: pooler.Working().DSN, Logger: logger})
	heard.expect(t, "listening")
	forgets.Store(true)
	db.Exec(`NOTIFY hoko_keys, 'lost'`)
	heard.expect(t, "deaf")
	log.expect(t, "level=WARN", "not listening for changed keys", "listen_dsn must be a direct or session-mode connection to the same database")
	forgets.Store(false)
	heard.expect(t, "listening")
	db.Exec(`NOTIFY hoko_keys, 'heard'`)
	heard.expect(t, "notified heard")
}

func TestListenerThatHearsNothingNeverListens(t *testing.T) {
	dsn := testenv.Database(t)
	pooler := pgtest.Tap(t, dsn)
	pooler.Notifies = func() bool { return false }
	for name, listenDSN := range map[string]string{
		"behind a pooler":     pooler.Working().DSN,
		"in another database": testenv.Database(t),
	} {
		t.Run(name, func(t *testing.T) {
			log, logger := newLogLines()
			heard, stop := listen(t, postgres.Options{DSN: dsn, ListenDSN: listenDSN, Logger: logger})
			log.expect(t, "not listening for changed keys", "listen_dsn must be")
			_ = stop()
			if len(heard) > 0 {
				t.Errorf("it reported: %s", <-heard)
			}
		})
	}
}

func TestRevocationIsHeardWhileNoHeartbeatCanBeSent(t *testing.T) {
	dsn := testenv.Database(t)
	db, between := pgtest.Connect(t, dsn), newProxy(t, dsn)
	between.start(t)
	var log pgtest.Log
	heard, _ := listen(t, postgres.Options{DSN: between.dsn, ListenDSN: dsn, Logger: log.Logger()})
	heard.expect(t, "listening")
	between.silence()
	speak := sync.OnceFunc(between.speak)
	defer speak()
	heard.expect(t, "deaf")
	db.Exec(`NOTIFY hoko_keys, 'revoked'`)
	heard.expect(t, "notified revoked")
	speak()
	heard.expect(t, "listening")
	if log.Count("level=WARN") != 1 || log.Count("no heartbeat could be sent over the connections that look keys up") != 1 {
		t.Errorf("logged %s", log.String())
	}
}

func TestHeartbeatIsSentOnceThereIsAConnection(t *testing.T) {
	for name, refusal := range map[string]string{
		"when the server has room":            "too many clients",
		"without settings that a pooler bars": "unsupported startup parameter: jit",
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			crowded := pgtest.Tap(t, dsn)
			var refused atomic.Int64
			crowded.Refuses = func(parameters map[string]string) string {
				if refused.Add(1) <= 2 || strings.Contains(refusal, "jit") && parameters["jit"] != "" {
					return refusal
				}
				return ""
			}
			var log pgtest.Log
			heard, _ := listen(t, postgres.Options{DSN: crowded.Working().DSN, ListenDSN: dsn, Logger: log.Logger()})
			heard.expect(t, "listening")
			if log.Count("level=WARN") != 0 || refused.Load() < 3 {
				t.Errorf("after %d connections logged %s", refused.Load(), log.String())
			}
		})
	}
}

// A revocation whose commit waits for a standby lets nobody else notify, and is not heard.
func TestHeartbeatsWaitForNoStandbyAndHoldUpNoLookup(t *testing.T) {
	_, dsn, db := pgtest.OwnServer(t)
	hash := apikey.Hash{1}
	db.Exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', $1)`, hash[:])
	configure := pgtest.Synchronizing(t, dsn)
	configure("nobody")
	log, logger := newLogLines()
	o := postgres.Options{DSN: dsn, MaxConns: 8, Logger: logger} // one of them for keys
	keys := pgtest.OpenKeys(t, o)
	heard, _ := listenBeside(t, keys, o)
	heard.expect(t, "listening")

	ctx, committed := pgtest.Guarded(t), make(chan error, 1)
	go func() {
		_, err := db.Conn.Exec(ctx, `UPDATE hoko.api_keys SET revoked_at = now()`)
		committed <- err
	}()
	heard.expect(t, "deaf")
	log.expect(t, "not listening for changed keys", "lock timeout")
	for range 20 {
		if key, err := keys.Key(pgtest.Guarded(t), hash); err != nil || key.Revoked {
			t.Fatalf("%+v, %v", key, err)
		}
	}
	configure("")
	if err := <-committed; err != nil {
		t.Error(err)
	}
	heard.expect(t, "notified key:"+hash.String(), "listening")
}
