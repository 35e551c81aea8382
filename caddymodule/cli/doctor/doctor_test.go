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

// shopSQL is what a first sale needs.
const shopSQL = `INSERT INTO hoko.workspaces (id) VALUES ('w');
	INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('k', 'w', sha256('secret key'));
	INSERT INTO hoko.links (id, workspace_id, url, short_url) VALUES ('l', 'w', 'https://example.com', 'https://hoko.to/l');
	INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('c', 'w', 'l')`

// openShop creates a database in which a sale can be attributed.
func openShop(t *testing.T) (dsn string, db testenv.DB) {
	t.Helper()
	dsn = testenv.Database(t)
	db = testenv.Connect(t, dsn)
	db.Exec(shopSQL)
	return dsn, db
}

// examine runs the doctor, and returns its report and its lines.
func examine(t *testing.T, o Options) (Report, string) {
	t.Helper()
	report := Run(testenv.Guarded(t), o)
	var lines bytes.Buffer
	report.Write(&lines, false)
	if strings.Contains(lines.String(), "secret") {
		t.Errorf("it shows a password or key:\n%s", &lines)
	}
	return report, lines.String()
}

// wantLines checks that each of the texts is in the lines.
func wantLines(t *testing.T, lines string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(lines, text) {
			t.Errorf("it does not say %q:\n%s", text, lines)
		}
	}
}

// grant makes the role of docs/role.sql.
func grant(t *testing.T, db testenv.DB) {
	t.Helper()
	role, err := os.ReadFile("../../../docs/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(string(role))
}

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	pair := testenv.Replicated(t) // the servers of other tests have fsync off
	dsn := pair.DSN("postgres")
	if err := postgres.Migrate(testenv.Guarded(t), dsn, nil); err != nil {
		t.Fatal(err)
	}
	db := testenv.Connect(t, dsn)
	db.Exec(shopSQL)
	grant(t, db)
	o := Options{DSN: dsn + "&role=hoko_edge", ListenDSN: dsn, RedisURL: testenv.Redis(t)}
	report, got := examine(t, o)
	for _, about := range []string{"postgres", "durability", "schema", "sales", "keys", "row-security", "attribution", "triggers", "indexes", "listener", "redis"} {
		wantLines(t, got, "ok    "+about+": ")
	}
	if report.Failures > 0 || report.Warnings > 0 || report.Err(true) != nil {
		t.Errorf("it found\n%s", got)
	}

	t.Run("but that the standby is away", func(t *testing.T) {
		pair.Standby().Kill()
		report, got := examine(t, o)
		wantLines(t, got, "FAIL  durability: a commit that waits for the standbys does not end", "fix: start the standbys")
		if report.Failures != 1 {
			t.Errorf("it found\n%s", got)
		}
		pair.Rejoin(t)
	})
	t.Run("but that commits do not wait for the standby", func(t *testing.T) {
		db.Exec("ALTER SYSTEM SET synchronous_standby_names = ''")
		db.Exec("SELECT pg_reload_conf()")
		testenv.Until(t, "the configuration is read", func() bool {
			return testenv.Connect(t, dsn).Text("SHOW synchronous_standby_names") == ""
		})
		report, got := examine(t, o)
		wantLines(t, got, "warn  durability: a standby is connected, and commits do not wait for it", "fix: set synchronous_standby_names")
		if report.Failures > 0 || report.Err(true) == nil || report.Err(false) != nil {
			t.Errorf("it found\n%s", got)
		}
	})
}

func TestDoctorRehearsesSales(t *testing.T) {
	dsn, db := openShop(t)
	o := Options{DSN: dsn, RedisURL: testenv.Redis(t)}
	_, got := examine(t, o)
	wantLines(t, got, "ok    sales: the role may record them: some were rehearsed")
	db.Exec(`CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.external_id := lower(NEW.external_id) || '!'; RETURN NEW; END $$;
		CREATE TRIGGER meddle BEFORE UPDATE ON hoko.customers FOR EACH ROW EXECUTE FUNCTION public.meddle()`)
	report, got := examine(t, o)
	wantLines(t, got, "FAIL  sales: the row that a sale writes to hoko.customers", "fix: see docs/adopting.md")
	if report.Err(false) == nil {
		t.Error("it says that the edge would work")
	}
	if n := db.Count("SELECT (SELECT count(*) FROM hoko.sales) + (SELECT count(*) FROM hoko.customers)"); n != 0 {
		t.Errorf("%d rows were left behind", n)
	}
}

func TestDoctorNamesWhatIsWrongAndItsFix(t *testing.T) {
	redis, dsn := testenv.Redis(t), testenv.Database(t)
	db := testenv.Connect(t, dsn)
	db.Exec(`DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'powerless') THEN CREATE ROLE powerless LOGIN; END IF; END $$;
		GRANT USAGE ON SCHEMA hoko TO powerless;
		GRANT SELECT ON hoko.schema_version, hoko.workspaces TO powerless;
		REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC`)
	t.Setenv("REDIS_URL", "")
	for _, tc := range []struct {
		name               string
		dsn, listen, redis string
		want               []string
	}{
		{name: "no database", dsn: "postgres://hoko:secret@127.0.0.1:1/site", redis: redis, want: []string{"FAIL  postgres: ", "fix: check DATABASE_URL", "ok    redis: "}},
		{name: "read-only database", dsn: dsn + "&default_transaction_read_only=on", redis: redis, want: []string{"FAIL  postgres: it is read-only"}},
		{name: "no schema", dsn: testenv.EmptyDatabase(t), redis: redis, want: []string{"FAIL  schema: there is none", "fix: run caddy hoko migrate", "ok    listener: "}},
		{name: "no rights", dsn: dsn + "&user=powerless", redis: redis, want: []string{"FAIL  sales: ", "FAIL  keys: ", "permission denied", "docs/role.sql", "FAIL  listener: LISTEN does not work: no heartbeat could be sent", "the role needs pg_notify"}},
		{name: "no listener", dsn: dsn, listen: "postgres://hoko:secret@127.0.0.1:1/site", redis: redis, want: []string{"FAIL  listener: ", "fix: check listen_dsn"}},
		{name: "listener in another database", dsn: dsn, listen: testenv.Database(t), redis: redis, want: []string{"FAIL  listener: notifications do not arrive", "fix: set listen_dsn to Postgres itself", "to the same database"}},
		{name: "no Redis", dsn: dsn, redis: "redis://:secret@127.0.0.1:1", want: []string{"FAIL  redis: redis does not decide", "fix: check the url's host and port", "ok    sales: "}},
		{name: "no address of Redis", dsn: dsn, want: []string{"FAIL  redis: no address", "set REDIS_URL"}},
		{name: "no URL of Redis", dsn: dsn, redis: "localhost", want: []string{"FAIL  redis: redis url"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report, got := examine(t, Options{DSN: tc.dsn, ListenDSN: tc.listen, RedisURL: tc.redis})
			if report.Err(false) == nil {
				t.Error("it says that the edge would work")
			}
			wantLines(t, got, tc.want...)
		})
	}
}

func TestDoctor_EndsWhileTheTableOfKeysIsLocked(t *testing.T) {
	dsn, db := openShop(t)
	db.Exec("BEGIN; LOCK TABLE hoko.api_keys IN ACCESS EXCLUSIVE MODE")
	_, got := examine(t, Options{DSN: dsn, RedisURL: testenv.Redis(t)})
	wantLines(t, got, "FAIL  keys: ", "deadline exceeded", "ok    redis: ")
}

func TestDoctorWarnsOfADatabaseThatLacksCharacters(t *testing.T) {
	server := testenv.Postgres(t)
	testenv.Connect(t, server.DSN("postgres")).Exec("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	_, got := examine(t, Options{DSN: server.DSN("latin")})
	wantLines(t, got, "warn  postgres: the database's encoding is LATIN1")
}

func TestDoctorWarnsOfClocksThatDiffer(t *testing.T) {
	var r Report
	now := time.Now()
	r.clock("postgres", now, now)
	if len(r.Findings) > 0 {
		t.Errorf("it found %v", r.Findings)
	}
	r.clock("postgres", now.Add(-time.Minute), now)
	r.clock("redis", time.Now().Add(time.Minute), now)
	if len(r.Findings) != 2 || r.Err(false) != nil || !strings.Contains(r.Findings[0].String(), "warn  postgres: its clock and this machine's are 1m0s apart") {
		t.Errorf("it found %v", r.Findings)
	}
}
