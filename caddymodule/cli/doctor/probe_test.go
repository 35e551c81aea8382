package doctor

import (
	"context"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
)

// onlyKey returns the row of the only key as text.
func onlyKey(db testenv.DB) string { return db.Text("SELECT k::text FROM hoko.api_keys k") }

func wantUnchanged(t *testing.T, db testenv.DB, before string) {
	t.Helper()
	if after := onlyKey(db); after != before {
		t.Errorf("the key was %s and is %s", before, after)
	}
}

func lockWaiters(db testenv.DB) int {
	return db.Count(`SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`)
}

func TestProbe_RestoresEachColumn(t *testing.T) {
	dsn, db := openShop(t)
	before := onlyKey(db)
	report, got := runDoctor(t, Options{DSN: dsn, ProbeKey: "k", RedisURL: testenv.Redis(t)})
	wantTexts(t, got, "ok    probe: key k: changes of revoked_at, expires_at, scopes, allowed_hostnames, "+
		"rate_limit, rate_period, rate_burst were announced and undone")
	if report.Failures > 0 {
		t.Errorf("it found\n%s", got)
	}
	wantUnchanged(t, db, before)
}

func TestProbe_MissingNotification(t *testing.T) {
	dsn, db := openShop(t)
	const indirect = `CREATE FUNCTION public.notify_change(digest bytea) RETURNS void LANGUAGE sql
			AS $$ SELECT pg_notify('hoko_keys', 'key:' || encode(digest, 'hex')) $$;
		CREATE FUNCTION public.indirect() RETURNS trigger LANGUAGE plpgsql
			AS $$ BEGIN PERFORM public.notify_change(OLD.key_hash); RETURN NULL; END $$;
		CREATE TRIGGER indirect AFTER UPDATE OR DELETE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.indirect()`
	for _, tc := range []struct{ name, sql, want string }{
		{"a trigger on some columns", `DROP TRIGGER hoko_notify_update ON hoko.api_keys;
			CREATE TRIGGER hoko_notify_update AFTER UPDATE OF revoked_at, scopes ON hoko.api_keys
				FOR EACH ROW EXECUTE FUNCTION hoko.notify_api_key()`,
			"FAIL  probe: key k: changes of expires_at, allowed_hostnames, rate_limit, rate_period, rate_burst " +
				"were not announced: a revoked key passes"},
		{"a notification of another key", `
			CREATE OR REPLACE FUNCTION hoko.notify_api_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_notify('hoko_keys', 'key:' || encode(sha256(OLD.key_hash), 'hex'));
			PERFORM pg_notify('hoko_keys', 'workspace:W'); RETURN NULL; END $$`,
			"FAIL  probe: key k: changes of revoked_at, expires_at, scopes, "},
		{"disabled triggers", "ALTER TABLE hoko.api_keys DISABLE TRIGGER ALL",
			"FAIL  probe: key k: changes of revoked_at, "},
		{"a trigger whose function does not name hoko_keys",
			"ALTER TABLE hoko.api_keys DISABLE TRIGGER ALL; " + indirect, "warn  triggers: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db.Exec(tc.sql)
			before := onlyKey(db)
			_, got := runDoctor(t, Options{DSN: dsn, ProbeKey: "k"})
			wantTexts(t, got, tc.want)
			wantUnchanged(t, db, before)
		})
	}
}

func TestProbe_UnknownKeyOrMissingRights(t *testing.T) {
	dsn, db := openShop(t)
	grant(t, db)
	for name, tc := range map[string]struct{ dsn, key, want string }{
		"no such key":   {dsn, "none", "FAIL  probe: no such key"},
		"the role only": {dsn + "&role=hoko_edge", "k", "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := runDoctor(t, Options{DSN: tc.dsn, ProbeKey: tc.key})
			wantTexts(t, got, tc.want, "give the connection string of the schema's owner")
		})
	}
}

func TestProbe_UnrestorableKeyIsUnchanged(t *testing.T) {
	dsn, db := openShop(t)
	db.Exec(`CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql
			AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$;
		CREATE TRIGGER touch BEFORE UPDATE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.touch()`)
	before := onlyKey(db)
	_, got := runDoctor(t, Options{DSN: dsn, ProbeKey: "k"})
	wantTexts(t, got, "warn  probe: key k cannot be changed")
	wantUnchanged(t, db, before)
}

// A table lock stops the probe between its two statements.
func TestProbe_InterruptedChangesNothing(t *testing.T) {
	dsn, db := openShop(t)
	db.Exec(`CREATE TABLE public.gate (); CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF OLD.revoked_at IS NOT NULL THEN LOCK TABLE public.gate; END IF; RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE UPDATE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.wait()`)
	before := onlyKey(db)
	locker := testenv.Connect(t, dsn)
	locker.Exec("BEGIN; LOCK TABLE public.gate")
	ctx, interrupt := context.WithCancel(testenv.Guarded(t))
	done := make(chan error)
	go func() {
		_, err := admin.ProbeKey(ctx, dsn, dsn, "k")
		done <- err
	}()
	testenv.Until(t, "the key is changed and not restored", func() bool { return lockWaiters(db) == 1 })
	interrupt()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("it ended with %v", err)
	}
	locker.Exec("COMMIT")
	testenv.Until(t, "its session has ended", func() bool {
		return db.Count(`SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'hoko-edge'`) == 0
	})
	wantUnchanged(t, db, before)
}

// The site restores a revoked key in a transaction that the probe waits for.
func TestProbe_KeepsAConcurrentChange(t *testing.T) {
	dsn, db := openShop(t)
	site := testenv.Connect(t, dsn)
	site.Exec("UPDATE hoko.api_keys SET revoked_at = now() WHERE id = 'k'")
	site.Exec("BEGIN; UPDATE hoko.api_keys SET revoked_at = NULL WHERE id = 'k'")
	type result struct {
		probe admin.Probe
		err   error
	}
	done := make(chan result)
	go func() {
		probe, err := admin.ProbeKey(testenv.Guarded(t), dsn, dsn, "k")
		done <- result{probe, err}
	}()
	testenv.Until(t, "the probe waits for the site", func() bool { return lockWaiters(db) == 1 })
	site.Exec("COMMIT")
	if got := <-done; got.err != nil || len(got.probe.Notified) != 7 {
		t.Errorf("%+v", got)
	}
	if kept := db.Count("SELECT count(*) FROM hoko.api_keys WHERE id = 'k' AND revoked_at IS NULL"); kept != 1 {
		t.Errorf("the site's change is lost: %s", onlyKey(db))
	}
}
