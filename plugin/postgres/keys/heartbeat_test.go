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

// A pooler in transaction mode answers queries but delivers no notifications.
func TestListener_ForgottenListenIsDetected(t *testing.T) {
	dsn := testenv.Database(t)
	db, pooler := testenv.Connect(t, dsn), pgtest.Tap(t, dsn)
	var forgotten atomic.Bool
	pooler.Delivers = func() bool { return !forgotten.Load() }
	var log testenv.Log
	events, _ := listen(t, postgres.Options{DSN: dsn, ListenDSN: pooler.Working().DSN, Logger: log.Logger()})
	events.expect(t, "up")
	forgotten.Store(true)
	db.Exec(`NOTIFY hoko_keys, 'lost'`)
	events.expect(t, "down")
	log.Wait(t, "level=WARN", "not listening for changed keys", "listen_dsn must be a direct or session-mode")
	forgotten.Store(false)
	events.expect(t, "up")
	db.Exec(`NOTIFY hoko_keys, 'arrives'`)
	events.expect(t, "notified arrives")
}

func TestListener_DownWithoutNotifications(t *testing.T) {
	dsn := testenv.Database(t)
	pooler := pgtest.Tap(t, dsn)
	pooler.Delivers = func() bool { return false }
	for name, listenDSN := range map[string]string{
		"behind a pooler":     pooler.Working().DSN,
		"in another database": testenv.Database(t),
	} {
		t.Run(name, func(t *testing.T) {
			var log testenv.Log
			events, stop := listen(t, postgres.Options{DSN: dsn, ListenDSN: listenDSN, Logger: log.Logger()})
			log.Wait(t, "not listening for changed keys", "listen_dsn must be")
			_ = stop()
			if len(events) > 0 {
				t.Errorf("it reported: %s", <-events)
			}
		})
	}
}

func TestListener_NotifiesIfNoHeartbeatCanBeSent(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	between, through := openRelay(t, dsn)
	var log testenv.Log
	events, _ := listen(t, postgres.Options{DSN: through, ListenDSN: dsn, Logger: log.Logger()})
	events.expect(t, "up")
	silence(between)
	events.expect(t, "down")
	db.Exec(`NOTIFY hoko_keys, 'revoked'`)
	events.expect(t, "notified revoked")
	between.Resume()
	events.expect(t, "up")
	if log.Count("level=WARN") != 1 || log.Count("no heartbeat could be sent") != 1 {
		t.Errorf("logged %s", log.String())
	}
}

func TestHeartbeat_RetriesUntilConnected(t *testing.T) {
	for name, refusal := range map[string]string{
		"too many clients":       "too many clients",
		"pooler refuses jit=off": "unsupported startup parameter: jit",
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			wire := pgtest.Tap(t, dsn)
			var refused atomic.Int64
			wire.Refuses = func(parameters map[string]string) string {
				if refused.Add(1) <= 2 || strings.Contains(refusal, "jit") && parameters["jit"] != "" {
					return refusal
				}
				return ""
			}
			var log testenv.Log
			events, _ := listen(t, postgres.Options{DSN: wire.Working().DSN, ListenDSN: dsn, Logger: log.Logger()})
			events.expect(t, "up")
			if log.Count("level=WARN") != 0 || refused.Load() < 3 {
				t.Errorf("after %d connections logged %s", refused.Load(), log.String())
			}
		})
	}
}

// A revocation whose commit waits for a standby blocks other notifying commits. Lookups still work.
func TestHeartbeat_WaitsForNoStandby(t *testing.T) {
	_, dsn, db := pgtest.OwnServer(t)
	hash := apikey.Hash{1}
	db.Exec(`INSERT INTO hoko.api_keys (workspace_id, key_hash) VALUES ('w1', $1)`, hash[:])
	setStandbys := pgtest.SynchronousStandbys(t, dsn)
	setStandbys("absent")
	var log testenv.Log
	o := postgres.Options{DSN: dsn, MaxConns: 8, Logger: log.Logger()} // one for lookups
	keys := pgtest.OpenKeys(t, o)
	events, _ := listenWith(t, keys, o)
	events.expect(t, "up")

	ctx, committed := testenv.Guarded(t), make(chan error, 1)
	go func() {
		_, err := db.Conn.Exec(ctx, `UPDATE hoko.api_keys SET revoked_at = now()`)
		committed <- err
	}()
	events.expect(t, "down")
	log.Wait(t, "not listening for changed keys", "lock timeout")
	for range 20 {
		if key, err := keys.Key(testenv.Guarded(t), hash); err != nil || key.Revoked {
			t.Fatalf("%+v, %v", key, err)
		}
	}
	setStandbys("")
	testenv.NoError(t, <-committed)
	events.expect(t, "notified key:"+hash.String(), "up")
}
