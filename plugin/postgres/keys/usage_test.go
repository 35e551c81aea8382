package keys_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

// minute is a minute of the past.
const minute = 29_000_000

// usesOf returns uses of n keys in this minute.
func usesOf(n int, minute int64) (uses []keys.Use) {
	for i := range n {
		uses = append(uses, keys.Use{KeyID: fmt.Sprint("k", i), Minute: minute})
	}
	return uses
}

// record records uses and returns those left.
func record(t *testing.T, store *keys.Store, uses []keys.Use) (left []keys.Use, err error) {
	t.Helper()
	return store.RecordUses(testenv.Guarded(t), uses)
}

func TestRecordUses(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	listener := testenv.Connect(t, dsn)
	listener.Exec("LISTEN hoko_keys")
	want := func(keys int, at string) {
		t.Helper()
		if n := db.Count("SELECT count(*) FROM hoko.key_usage WHERE last_used_at = " + at); n != keys {
			t.Errorf("%d keys were last used at %s, want %d", n, at, keys)
		}
	}
	for _, at := range []int64{minute, minute + 1, minute - 1} {
		if left, err := record(t, store, usesOf(1234, at)); len(left) > 0 || err != nil {
			t.Errorf("%d are left: %v", len(left), err)
		}
	}
	want(1234, fmt.Sprintf("to_timestamp(%d)", 60*(minute+1)))
	if _, err := record(t, store, usesOf(1, 1<<32)); err != nil {
		t.Error(err)
	}
	want(1, "date_trunc('minute', last_used_at) AND last_used_at BETWEEN now() - interval '10 min' AND now()")
	db.Exec("NOTIFY hoko_keys, 'end'")
	if n, err := listener.Conn.WaitForNotification(testenv.Guarded(t)); err != nil || n.Payload != "end" {
		t.Errorf("notified %v, %v", n, err)
	}
}

// Stores that write the same keys do not deadlock, whatever the order of their uses. Postgres looks
// for deadlocks before the lock timeout, which a busy machine may exceed.
func TestRecordUses_OfSeveralEdges(t *testing.T) {
	const rounds, used = 60, 400
	dsn := testenv.Database(t)
	var all sync.WaitGroup
	for edge := range 3 {
		store := pgtest.OpenKeys(t, postgres.Options{DSN: dsn + "&deadlock_timeout=50ms"})
		all.Go(func() {
			for round := range int64(rounds) {
				uses := usesOf(used, minute+round)
				switch edge {
				case 1:
					slices.Reverse(uses)
				case 2:
					uses = slices.Concat(uses[used/2:], uses[:used/2])
				}
				var err error
				for len(uses) > 0 {
					uses, err = record(t, store, uses)
					if err != nil && !strings.Contains(err.Error(), "lock timeout") {
						t.Errorf("edge %d, round %d: %v", edge, round, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	db := testenv.Connect(t, dsn)
	if n := db.Count("SELECT count(*) FROM hoko.key_usage WHERE last_used_at = to_timestamp($1)",
		60*(minute+rounds-1)); n != used {
		t.Errorf("%d keys have the last minute, want %d", n, used)
	}
}

// With a single connection for lookups and uses, a lookup waits only briefly.
func TestRecordUses_DisturbsNoLookup(t *testing.T) {
	shop := pgtest.OpenShop(t)
	hash := seedKey(shop.DB, "", "")
	store := pgtest.OpenKeys(t, postgres.Options{DSN: shop.DSN, MaxConns: 8})
	locked := shop.Lock("LOCK TABLE hoko.key_usage IN SHARE MODE")
	recorded := make(chan error, 1)
	go func() {
		_, err := record(t, store, usesOf(1, minute))
		recorded <- err
	}()
	testenv.Until(t, "the write waits", func() bool {
		return shop.Count("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
	})
	const answerWait = 700 * time.Millisecond // of a request in plugin/apikey
	ctx, cancel := context.WithTimeout(t.Context(), answerWait)
	defer cancel()
	if _, err := store.Key(ctx, hash); err != nil {
		t.Error(err)
	}
	pgtest.WantError(t, <-recorded, "lock timeout")
	locked.Exec("COMMIT")
	if left, err := record(t, store, usesOf(1, minute)); len(left) > 0 || err != nil {
		t.Errorf("%d are left: %v", len(left), err)
	}
}

// What cannot be recorded is returned, and the server logs no error.
func TestRecordUses_WithoutTableOrRights(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec(`DO $$ BEGIN IF to_regrole('narrow') IS NULL THEN CREATE ROLE narrow; END IF; END $$;
		GRANT USAGE ON SCHEMA hoko TO narrow`)
	wire := pgtest.Tap(t, shop.DSN)
	var writes atomic.Int32
	wire.OnParse = func(_ map[string]string, statement string) {
		if strings.Contains(statement, "INSERT INTO hoko.key_usage") {
			writes.Add(1)
		}
	}
	store := pgtest.OpenKeys(t, postgres.Options{DSN: wire.Working().DSN + "&role=narrow"})
	const grant = "GRANT %s ON hoko.key_usage TO narrow"
	for _, change := range []string{
		fmt.Sprintf(grant, "SELECT, UPDATE"),
		fmt.Sprintf(grant, "INSERT") + "; REVOKE SELECT ON hoko.key_usage FROM narrow",
		"ALTER TABLE hoko.key_usage RENAME TO moved",
	} {
		shop.Exec(change)
		left, err := record(t, store, usesOf(600, minute))
		pgtest.WantError(t, err, "caddy hoko migrate, then docs/role.sql")
		if len(left) != 600 || writes.Load() != 0 {
			t.Errorf("after %s: %d of 600 uses are left, %d statements", change, len(left), writes.Load())
		}
	}
	shop.Exec("ALTER TABLE hoko.moved RENAME TO key_usage;" + fmt.Sprintf(grant, "SELECT"))
	if left, err := record(t, store, usesOf(600, minute)); len(left) > 0 || err != nil {
		t.Errorf("%d are left: %v", len(left), err)
	}
}

// A call does not wait long for a server that does not answer, and returns all uses.
func TestRecordUses_MuteServer(t *testing.T) {
	shop := pgtest.OpenShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	store := pgtest.OpenKeys(t, postgres.Options{DSN: wire.Working().DSN})
	if _, err := record(t, store, usesOf(1, minute)); err != nil {
		t.Fatal(err)
	}
	wire.Stall(relay.ToClient)
	ctx := testenv.Guarded(t)
	left, err := store.RecordUses(ctx, usesOf(5000, minute))
	if len(left) != 5000 || err == nil || ctx.Err() != nil {
		t.Errorf("%d are left: %v", len(left), err)
	}
	wire.Resume()
	if left, err := record(t, store, left); len(left) > 0 || err != nil {
		t.Errorf("%d are left: %v", len(left), err)
	}
}
