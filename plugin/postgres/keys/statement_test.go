package keys_test

import (
	"reflect"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

func TestLookup_SurvivesUnusableStatement(t *testing.T) {
	const conns = 8
	for _, c := range []struct {
		name            string
		migration, each string // SQL that runs once, and on each connection
	}{
		{name: "a migration changes a column's type", migration: `DROP TRIGGER hoko_notify_update ON hoko.api_keys;
			ALTER TABLE hoko.api_keys ALTER COLUMN rate_limit TYPE bigint`},
		{name: "a migration changes a limit's type", migration: `DROP TRIGGER hoko_notify_update ON hoko.workspaces;
			ALTER TABLE hoko.workspaces ALTER COLUMN rate_burst TYPE bigint`},
		{name: "a pooler has lost it", each: "DEALLOCATE ALL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := testenv.Database(t)
			db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
			hash := seedKey(db, "scopes, allowed_hostnames, rate_limit, rate_period, expires_at",
				"'{linksRead}', '{example.com,NULL}', 7, '1 day', '2031-05-06 07:08:09.123456Z'")
			before := mustKey(t, store, hash)
			useAll(t, db, store, hash, conns)
			if c.migration != "" {
				db.Exec(c.migration)
			}
			if c.each != "" {
				testenv.NoError(t, store.OnConnections(testenv.Guarded(t), c.each))
			}
			for i := range 2 * conns {
				switch i % 4 {
				case 0:
					found, err := store.Keys(testenv.Guarded(t), []apikey.Hash{{1}, hash, {2}})
					if err != nil || len(found) != 1 || !reflect.DeepEqual(found[hash], before) {
						t.Errorf("batch %d: %+v, %v", i, found, err)
					}
				case 1:
					if _, err := store.Keys(testenv.Guarded(t), nil); err != nil {
						t.Errorf("empty batch %d: %v", i, err)
					}
				default:
					if key, err := store.Key(testenv.Guarded(t), hash); err != nil || !reflect.DeepEqual(key, before) {
						t.Errorf("lookup %d: %+v, %v", i, key, err)
					}
				}
			}
			inParallel(t, 60, func() error { _, err := store.Key(testenv.Guarded(t), hash); return err })
		})
	}
}

func TestLookup_StatementNameTakenByAnotherClient(t *testing.T) {
	dsn := testenv.Database(t)
	db := testenv.Connect(t, dsn)
	hash := seedKey(db, "", "")
	first := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	mustKey(t, first, hash)
	db.Exec("CREATE TABLE public.names (name text)")
	const keepNames = "INSERT INTO public.names SELECT name FROM pg_prepared_statements"
	testenv.NoError(t, first.OnConnections(testenv.Guarded(t), keepNames))
	name := db.Text("SELECT name FROM public.names")
	second := pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	testenv.NoError(t, second.OnConnections(testenv.Guarded(t), `PREPARE "`+name+`" AS SELECT 1`))
	for range 3 {
		mustKey(t, second, hash)
	}
}

// These parameters are common in connection strings for pgx.
func TestLookup_WithParametersOfPgx(t *testing.T) {
	dsn := testenv.Database(t)
	hash := seedKey(testenv.Connect(t, dsn), "scopes, allowed_hostnames, rate_limit, rate_period, expires_at",
		"'{linksRead}', '{example.com,NULL}', 7, '1 day', '2031-05-06 07:08:09.123456Z'")
	want, err := pgtest.OpenKeys(t, postgres.Options{DSN: dsn}).Key(testenv.Guarded(t), hash)
	testenv.NoError(t, err)
	for _, parameters := range []string{
		"default_query_exec_mode=cache_describe", "default_query_exec_mode=describe_exec",
		"default_query_exec_mode=exec", "default_query_exec_mode=simple_protocol",
		"statement_cache_capacity=0&default_query_exec_mode=exec", "statement_cache_capacity=100",
		"description_cache_capacity=0", "pool_max_conns=3&pool_max_conn_lifetime=1h",
	} {
		t.Run(parameters, func(t *testing.T) {
			o := postgres.Options{DSN: dsn + "&" + parameters}
			store, err := keys.NewStore(o)
			testenv.NoError(t, err)
			defer store.Close()
			if key, err := store.Key(testenv.Guarded(t), hash); err != nil || !reflect.DeepEqual(key, want) {
				t.Errorf("%+v, %v, want %+v", key, err, want)
			}
			testenv.NoError(t, keys.CheckListener(testenv.Guarded(t), o))
			if sample, err := keys.Check(testenv.Guarded(t), o); err != nil || sample.Keys != 1 || sample.Missing != 0 {
				t.Errorf("%+v, %v", sample, err)
			}
		})
	}
}
