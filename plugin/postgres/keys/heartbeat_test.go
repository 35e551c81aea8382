package keys_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// A pooler in transaction mode answers all that it is asked, the listener's
// questions included, and hands it no notification.
func TestListener_ForgottenListenIsDetected(t *testing.T) {
	dsn := testenv.Database(t)
	db, pooler := testenv.Connect(t, dsn), pgtest.Tap(t, dsn)
	var forgets atomic.Bool
	pooler.Notifies = func() bool { return !forgets.Load() }
	var log testenv.Log
	heard, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: pooler.Working().DSN, Logger: log.Logger()})
	heard.expect(t, "up")
	forgets.Store(true)
	db.Exec(`NOTIFY hoko_keys, 'lost'`)
	heard.expect(t, "down")
	log.Wait(t, "level=WARN", "not listening for changed keys", "listen_dsn must be a direct or session-mode connection to the same database")
	forgets.Store(false)
	heard.expect(t, "up")
	db.Exec(`NOTIFY hoko_keys, 'heard'`)
	heard.expect(t, "notified heard")
}

func TestListener_DownWithoutNotifications(t *testing.T) {
	dsn := testenv.Database(t)
	pooler := pgtest.Tap(t, dsn)
	pooler.Notifies = func() bool { return false }
	for name, listenDSN := range map[string]string{
		"behind a pooler":     pooler.Working().DSN,
		"in another database": testenv.Database(t),
	} {
		t.Run(name, func(t *testing.T) {
			var log testenv.Log
			heard, stop := listen(t, postgres.Options{DSN: dsn, ListenDSN: listenDSN, Logger: log.Logger()})
			log.Wait(t, "not listening for changed keys", "listen_dsn must be")
			_ = stop()
			if len(heard) > 0 {
				t.Errorf("it reported: %s", <-heard)
			}
		})
	}
}

func TestListener_NotifiesIfNoHeartbeatCanBeSent(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	between, through := openRelay(t, dsn)
	var log testenv.Log
	heard, _ := listen(t, postgres.Options{DSN: through, ListenDSN: dsn, Logger: log.Logger()})
	heard.expect(t, "up")
	silence(between)
	heard.expect(t, "down")
	db.Exec(`NOTIFY hoko_keys, 'revoked'`)
	heard.expect(t, "notified revoked")
	between.Resume()
	heard.expect(t, "up")
	if log.Count("level=WARN") != 1 || log.Count("no heartbeat could be sent over the connections that look keys up") != 1 {
		t.Errorf("logged %s", log.String())
	}
}

func TestHeartbeat_RetriesUntilConnected(t *testing.T) {
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
			var log testenv.Log
			heard, _ := listen(t, postgres.Options{DSN: crowded.Working().DSN, ListenDSN: dsn, Logger: log.Logger()})
			heard.expect(t, "up")
			if log.Count("level=WARN") != 0 || refused.Load() < 3 {
				t.Errorf("after %d connections logged %s", refused.Load(), log.String())
			}
		})
	}
}

// A revocation whose commit waits for a standby lets nobody else notify, and is not heard.
func TestHeartbeat_WaitsForNoStandby(t *testing.T) {
	_, dsn, db := pgtest.OwnServer(t)
	hash := apikey.Hash{1}
	db.Exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', $1)`, hash[:])
	configure := pgtest.SynchronousStandbys(t, dsn)
	configure("nobody")
	var log testenv.Log
	o := postgres.Options{DSN: dsn, MaxConns: 8, Logger: log.Logger()} // one of them for keys
	keys := pgtest.OpenKeys(t, o)
	heard, _ := listenBeside(t, keys, o)
	heard.expect(t, "up")

	ctx, committed := testenv.Guarded(t), make(chan error, 1)
	go func() {
		_, err := db.Conn.Exec(ctx, `UPDATE hoko.api_keys SET revoked_at = now()`)
		committed <- err
	}()
	heard.expect(t, "down")
	log.Wait(t, "not listening for changed keys", "lock timeout")
	for range 20 {
		if key, err := keys.Key(testenv.Guarded(t), hash); err != nil || key.Revoked {
			t.Fatalf("%+v, %v", key, err)
		}
	}
	configure("")
	if err := <-committed; err != nil {
		t.Error(err)
	}
	heard.expect(t, "notified key:"+hash.String(), "up")
}
