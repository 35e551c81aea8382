package doctor

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// shopSQL adds what a first sale needs.
const shopSQL = `INSERT INTO hoko.workspaces (id) VALUES ('w');
	INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('k', 'w', sha256('secret key'));
	INSERT INTO hoko.links (id, workspace_id, url, short_url)
		VALUES ('l', 'w', 'https://example.com', 'https://hoko.to/l');
	INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('c', 'w', 'l')`

// openShop creates a database in which a sale can be attributed.
func openShop(t *testing.T) (dsn string, db testenv.DB) {
	t.Helper()
	dsn = testenv.Database(t)
	db = testenv.Connect(t, dsn)
	db.Exec(shopSQL)
	return dsn, db
}

// runDoctor returns the report and what it prints.
func runDoctor(t *testing.T, o Options) (Report, string) {
	t.Helper()
	report := Run(testenv.Guarded(t), o)
	var printed bytes.Buffer
	report.Write(&printed, false)
	if strings.Contains(printed.String(), "secret") {
		t.Errorf("it prints a password or key:\n%s", &printed)
	}
	return report, printed.String()
}

// wantTexts fails the test unless printed contains each of the texts.
func wantTexts(t *testing.T, printed string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			t.Errorf("it does not print %q:\n%s", text, printed)
		}
	}
}

// grant creates the role of docs/role.sql.
func grant(t *testing.T, db testenv.DB) {
	t.Helper()
	role, err := os.ReadFile("../../../docs/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(string(role))
}

func TestDoctor_FindsNoProblem(t *testing.T) {
	pair := testenv.Replicated(t) // the servers of other tests have fsync off
	dsn := pair.DSN("postgres")
	if err := postgres.Migrate(testenv.Guarded(t), dsn, nil); err != nil {
		t.Fatal(err)
	}
	db := testenv.Connect(t, dsn)
	db.Exec(shopSQL)
	grant(t, db)
	o := Options{DSN: dsn + "&role=hoko_edge", ListenDSN: dsn, RedisURL: testenv.Redis(t)}
	report, got := runDoctor(t, o)
	for _, about := range []string{"file-descriptors", "postgres", "durability", "connections", "schema", "clean-up",
		"key-usage", "revocation", "sales", "keys", "row-security", "attribution", "triggers", "indexes", "listener",
		"redis", "redis-memory", "redis-persistence"} {
		wantTexts(t, got, "ok    "+about+": ")
	}
	if report.Failures > 0 || report.Warnings > 0 || report.Err(true) != nil {
		t.Errorf("it found\n%s", got)
	}

	t.Run("the standby is down", func(t *testing.T) {
		pair.Standby().Kill()
		report, got := runDoctor(t, o)
		wantTexts(t, got, "FAIL  durability: a commit that waits for the standbys does not return",
			"fix: start the standbys")
		if report.Failures != 1 {
			t.Errorf("it found\n%s", got)
		}
		pair.Rejoin(t)
	})
	t.Run("commits do not wait for the standby", func(t *testing.T) {
		db.Exec("ALTER SYSTEM SET synchronous_standby_names = ''")
		db.Exec("SELECT pg_reload_conf()")
		testenv.Until(t, "the configuration is reloaded", func() bool {
			return testenv.Connect(t, dsn).Text("SHOW synchronous_standby_names") == ""
		})
		report, got := runDoctor(t, o)
		wantTexts(t, got, "warn  durability: a standby is connected, but commits do not wait for it",
			"fix: set synchronous_standby_names")
		if report.Failures > 0 || report.Err(true) == nil || report.Err(false) != nil {
			t.Errorf("it found\n%s", got)
		}
	})
}

func TestDoctor_RecordsTestSales(t *testing.T) {
	dsn, db := openShop(t)
	o := Options{DSN: dsn, RedisURL: testenv.Redis(t)}
	_, got := runDoctor(t, o)
	wantTexts(t, got, "ok    sales: the role can record them: test sales were recorded")
	db.Exec(`CREATE FUNCTION public.alter_id() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			NEW.external_id := lower(NEW.external_id) || '!'; RETURN NEW; END $$;
		CREATE TRIGGER alter_id BEFORE UPDATE ON hoko.customers FOR EACH ROW EXECUTE FUNCTION public.alter_id()`)
	report, got := runDoctor(t, o)
	wantTexts(t, got, "FAIL  sales: the row that a sale wrote to hoko.customers", "fix: see docs/adopting.md")
	if report.Err(false) == nil {
		t.Error("it says that the edge would work")
	}
	if n := db.Count("SELECT (SELECT count(*) FROM hoko.sales) + (SELECT count(*) FROM hoko.customers)"); n != 0 {
		t.Errorf("it left %d rows", n)
	}
}

func TestDoctor_NamesProblemAndFix(t *testing.T) {
	redis, dsn := testenv.Redis(t), testenv.Database(t)
	db := testenv.Connect(t, dsn)
	db.Exec(`DO $$ BEGIN IF to_regrole('powerless') IS NULL THEN CREATE ROLE powerless LOGIN; END IF; END $$;
		GRANT USAGE ON SCHEMA hoko TO powerless;
		GRANT SELECT ON hoko.schema_version, hoko.workspaces TO powerless;
		REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC`)
	t.Setenv("REDIS_URL", "")
	const refusing = "postgres://hoko:secret@127.0.0.1:1/site"
	for _, tc := range []struct {
		name               string
		dsn, listen, redis string
		want               []string
	}{
		{"no database", refusing, "", redis, []string{"FAIL  postgres: ", "fix: check DATABASE_URL", "ok    redis: "}},
		{"read-only database", dsn + "&default_transaction_read_only=on", "", redis,
			[]string{"FAIL  postgres: the server is read-only"}},
		{"no schema", testenv.EmptyDatabase(t), "", redis, []string{"FAIL  schema: the schema hoko does not exist",
			"fix: run caddy hoko migrate", "ok    listener: "}},
		{"no rights", dsn + "&user=powerless", "", redis, []string{"FAIL  sales: ", "FAIL  keys: ", "permission denied",
			"docs/role.sql", "FAIL  listener: LISTEN does not work: no heartbeat could be sent",
			"the role needs pg_notify"}},
		{"no listener", dsn, refusing, redis, []string{"FAIL  listener: ", "fix: check listen_dsn"}},
		{"listener in another database", dsn, testenv.Database(t), redis, []string{
			"FAIL  listener: notifications do not arrive", "fix: set listen_dsn to Postgres itself",
			"to the same database"}},
		{"no Redis", dsn, "", "redis://:secret@127.0.0.1:1", []string{"FAIL  redis: redis does not decide",
			"fix: check the url's host and port", "ok    sales: "}},
		{"no address of Redis", dsn, "", "", []string{"FAIL  redis: no address", "set REDIS_URL"}},
		{"no URL of Redis", dsn, "", "localhost", []string{"FAIL  redis: redis url"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report, got := runDoctor(t, Options{DSN: tc.dsn, ListenDSN: tc.listen, RedisURL: tc.redis})
			if report.Err(false) == nil {
				t.Error("it says that the edge would work")
			}
			wantTexts(t, got, tc.want...)
		})
	}
}

func TestDoctor_LockedTableTimesOut(t *testing.T) {
	dsn, db := openShop(t)
	db.Exec("BEGIN; LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE")
	_, got := runDoctor(t, Options{DSN: dsn, RedisURL: testenv.Redis(t)})
	wantTexts(t, got, "FAIL  keys: ", "deadline exceeded", "ok    redis: ")
}

func TestDoctor_WarnsOfEncoding(t *testing.T) {
	server := testenv.Postgres(t)
	db := testenv.Connect(t, server.DSN("postgres"))
	db.Exec("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	_, got := runDoctor(t, Options{DSN: server.DSN("latin")})
	wantTexts(t, got, "warn  postgres: the database's encoding is LATIN1")
}

func TestReport_WarnsOfFewDescriptors(t *testing.T) {
	var r Report
	r.compareDescriptors(minDescriptors)
	if r.Warnings > 0 {
		t.Errorf("it found %v", r.Findings)
	}
	r.fileDescriptors() // of this machine
	r.Findings = nil
	r.compareDescriptors(1024)
	const want = "warn  file-descriptors: a process that is started as this one may open only 1024 files: " +
		"an edge would serve at most 512 requests"
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].String(), want) ||
		!strings.Contains(r.Findings[0].Fix, "LimitNOFILE=65536") {
		t.Errorf("it found %v", r.Findings)
	}
}

func TestReport_WarnsOfClockSkew(t *testing.T) {
	var r Report
	now := time.Now()
	r.compareClocks("postgres", "", now, now)
	if len(r.Findings) > 0 {
		t.Errorf("it found %v", r.Findings)
	}
	r.compareClocks("postgres", "", now.Add(-time.Minute), now)
	r.compareClocks("redis", "", time.Now().Add(time.Minute), now)
	const want = "warn  postgres: its clock and this machine's are 1m0s apart"
	if len(r.Findings) != 2 || r.Err(false) != nil || !strings.Contains(r.Findings[0].String(), want) {
		t.Errorf("it found %v", r.Findings)
	}
}
