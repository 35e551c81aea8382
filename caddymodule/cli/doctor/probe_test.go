package doctor

import (
	"context"
	"strings"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
)

// row is all of the only key, as text.
func row(db testenv.DB) string { return db.Text("SELECT k::text FROM hoko.api_keys k") }

func TestProbe_HearsOfEachColumnAndRestoresIt(t *testing.T) {
	dsn, db := openShop(t)
	before := row(db)
	report, got := examine(t, Options{DSN: dsn, ProbeKey: "k", RedisURL: testenv.Redis(t)})
	wantLines(t, got, "ok    probe: key k: changes of revoked_at, expires_at, scopes, allowed_hostnames, rate_limit, rate_period, rate_burst were heard of, and undone")
	if report.Failures > 0 {
		t.Errorf("it found\n%s", got)
	}
	if after := row(db); after != before {
		t.Errorf("the key was %s and is %s", before, after)
	}
}

func TestProbe_FindsWhatIsNotAnnounced(t *testing.T) {
	dsn, db := openShop(t)
	notify := `CREATE FUNCTION public.notify_change(digest bytea) RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('hoko_keys', 'key:' || encode(digest, 'hex')) $$;
		CREATE FUNCTION public.indirect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.notify_change(OLD.key_hash); RETURN NULL; END $$;
		CREATE TRIGGER indirect AFTER UPDATE OR DELETE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.indirect()`
	for _, tc := range []struct{ name, sql, want string }{
		{"a column", `DROP TRIGGER hoko_notify_update ON hoko.api_keys;
			CREATE TRIGGER hoko_notify_update AFTER UPDATE OF revoked_at, scopes ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION hoko.notify_api_key()`,
			"FAIL  probe: key k: changes of expires_at, allowed_hostnames, rate_limit, rate_period, rate_burst were not notified: a revoked key passes"},
		{"another key", `CREATE OR REPLACE FUNCTION hoko.notify_api_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_notify('hoko_keys', 'key:' || encode(sha256(OLD.key_hash), 'hex')); PERFORM pg_notify('hoko_keys', 'workspace:W'); RETURN NULL; END $$`,
			"FAIL  probe: key k: changes of revoked_at, expires_at, scopes, "},
		{"nothing", "ALTER TABLE hoko.api_keys DISABLE TRIGGER ALL", "FAIL  probe: key k: changes of revoked_at, "},
		{"nothing that a trigger shows", "ALTER TABLE hoko.api_keys DISABLE TRIGGER ALL; " + notify, "warn  triggers: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db.Exec(tc.sql)
			before := row(db)
			_, got := examine(t, Options{DSN: dsn, ProbeKey: "k"})
			wantLines(t, got, tc.want)
			if after := row(db); after != before {
				t.Errorf("the key was %s and is %s", before, after)
			}
		})
	}
}

func TestProbe_NamesWhatItNeeds(t *testing.T) {
	dsn, db := openShop(t)
	grant(t, db)
	for name, tc := range map[string]struct{ dsn, key, want string }{
		"no such key":   {dsn, "none", "FAIL  probe: no such key"},
		"the role only": {dsn + "&role=hoko_edge", "k", "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := examine(t, Options{DSN: tc.dsn, ProbeKey: tc.key})
			wantLines(t, got, tc.want, "give the connection string of the schema's owner")
		})
	}
}

func TestProbe_LeavesTheKeyAloneIfItCannotRestoreIt(t *testing.T) {
	dsn, db := openShop(t)
	db.Exec(`CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$;
		CREATE TRIGGER touch BEFORE UPDATE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.touch()`)
	before := row(db)
	_, got := examine(t, Options{DSN: dsn, ProbeKey: "k"})
	wantLines(t, got, "warn  probe: key k cannot be changed")
	if after := row(db); after != before {
		t.Errorf("the key was %s and is %s", before, after)
	}
}

// A lock on the row stops the probe midway, which is then interrupted.
func TestProbe_ChangesNothingIfItIsInterrupted(t *testing.T) {
	dsn, db := openShop(t)
	// The second of the two statements waits.
	db.Exec(`CREATE TABLE public.gate (); CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF OLD.revoked_at IS NOT NULL THEN LOCK TABLE public.gate; END IF; RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE UPDATE ON hoko.api_keys FOR EACH ROW EXECUTE FUNCTION public.wait()`)
	before := row(db)
	holder := testenv.Connect(t, dsn)
	holder.Exec("BEGIN; LOCK TABLE public.gate")
	ctx, interrupt := context.WithCancel(testenv.Guarded(t))
	done := make(chan error)
	go func() {
		_, err := admin.ProbeKey(ctx, dsn, dsn, "k")
		done <- err
	}()
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	testenv.Until(t, "the key is changed and not restored", func() bool { return db.Count(waits) == 1 })
	interrupt()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("it ended with %v", err)
	}
	holder.Exec("COMMIT")
	testenv.Until(t, "its session has ended", func() bool {
		return db.Count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hoko-edge'") == 0
	})
	if after := row(db); after != before {
		t.Errorf("the key was %s and is %s", before, after)
	}
}

// The site admits a revoked key again, in a transaction that commits while the probe's change waits
// for it.
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
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	testenv.Until(t, "the probe waits for the site", func() bool { return db.Count(waits) == 1 })
	site.Exec("COMMIT")
	if got := <-done; got.err != nil || len(got.probe.Notified) != 7 {
		t.Errorf("%+v", got)
	}
	if kept := db.Count("SELECT count(*) FROM hoko.api_keys WHERE id = 'k' AND revoked_at IS NULL"); kept != 1 {
		t.Errorf("the site's change is lost: %s", row(db))
	}
}
