package admin_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func TestListKeys_Filters(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name, disabled_at) VALUES ('w1', 'one', NULL), ('w2', 'two', NULL),
			('off', 'off', now());
		INSERT INTO hoko.api_keys (id, workspace_id, key_hash, expires_at, revoked_at, created_at)
		SELECT id, workspace, sha256(id::bytea), expires::timestamptz, revoked::timestamptz, now() - age::interval
		FROM (VALUES
			('never', 'w1', NULL, NULL, '100 days'), ('lately', 'w1', NULL, NULL, '100 days'),
			('long ago', 'w2', 'infinity', NULL, '100 days'), ('new', 'w1', NULL, NULL, '89 days'),
			('revoked', 'w1', NULL, '2026-01-01', '101 days'), ('expired', 'w1', '2026-01-01', NULL, '100 days'),
			('disabled', 'off', NULL, NULL, '100 days'), ('expires', 'w1', '2090-01-01', NULL, '100 days')
		) k (id, workspace, expires, revoked, age);
		INSERT INTO hoko.key_usage VALUES ('lately', now() - interval '89 days'), ('long ago', '2026-01-02 03:04:00Z'),
			('deleted', now())`)
	unused := time.Now().Add(-90 * 24 * time.Hour)
	for name, c := range map[string]struct {
		filter admin.KeyFilter
		want   []string
	}{
		"all": {admin.KeyFilter{}, []string{"disabled", "expired", "expires", "lately", "long ago", "never", "new",
			"revoked"}},
		"unused":                {admin.KeyFilter{UnusedSince: unused}, []string{"expires", "long ago", "never"}},
		"unused in a workspace": {admin.KeyFilter{UnusedSince: unused, Workspace: "two"}, []string{"long ago"}},
		"revoked":               {admin.KeyFilter{Revoked: true}, []string{"revoked"}},
		"by ID":                 {admin.KeyFilter{IDPrefix: "ne"}, []string{"never", "new"}},
		"newest":                {admin.KeyFilter{Max: 1}, []string{"new"}},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := admin.ListKeys(testenv.Guarded(t), dsn, c.filter)
			testenv.NoError(t, err)
			var ids []string
			for _, key := range keys {
				ids = append(ids, key.ID)
			}
			if slices.Sort(ids); !reflect.DeepEqual(ids, c.want) {
				t.Errorf("got %v, want %v", ids, c.want)
			}
		})
	}
	want := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	got := findKey(t, dsn, "long ago").LastUsedAt
	if !got.Equal(want) || !findKey(t, dsn, "never").LastUsedAt.IsZero() {
		t.Errorf("last used at %s, want %s", got, want)
	}
}

func TestListKeys_OlderSchemaIsErrSchema(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`DROP TABLE hoko.key_usage, hoko.audit; DROP FUNCTION hoko.revoke_key;
		UPDATE hoko.schema_version SET version = 3`)
	if _, err := admin.ListKeys(testenv.Guarded(t), dsn, admin.KeyFilter{}); !errors.Is(err, postgres.ErrSchema) {
		t.Error(err)
	}
}

// The view is that of a site with other columns, of which only expires_at and name can be written.
func TestKeys_OverASitesView(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`DROP TABLE hoko.api_keys;
		CREATE TABLE public.tokens (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, team text NOT NULL, label text,
			digest bytea NOT NULL, valid_until timestamptz, active boolean NOT NULL DEFAULT true);
		CREATE VIEW hoko.api_keys AS SELECT id::text COLLATE "C" AS id, team || '' AS workspace_id, label AS name,
			digest AS key_hash, 'hoko_' || id AS key_start, '{linksRead}'::text[] AS scopes,
			'{}'::text[] AS allowed_hostnames, NULL::integer AS rate_limit, NULL::interval AS rate_period,
			NULL::integer AS rate_burst, valid_until AS expires_at,
			CASE WHEN NOT active THEN timestamptz '2026-01-01Z' END AS revoked_at,
			NULL::timestamptz AS created_at FROM public.tokens;
		INSERT INTO hoko.workspaces (id) VALUES ('w');
		INSERT INTO public.tokens (team, digest, active) VALUES ('w', sha256('a'), true), ('w', sha256('b'), false)`)
	ctx := testenv.Guarded(t)
	keys, err := admin.ListKeys(ctx, dsn, admin.KeyFilter{UnusedSince: time.Now()})
	if err != nil || len(keys) != 1 || findKey(t, dsn, "a").ID != "1" || findKey(t, dsn, "hoko_2").RevokedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
	before := d.Text(`SELECT string_agg(t::text, ';') FROM public.tokens t`)
	for name, do := range map[string]func() error{
		"create": func() error {
			_, err := admin.CreateKey(ctx, dsn, admin.NewKey{Workspace: "w", Scopes: scopes})
			return err
		},
		"revoke":   func() error { _, err := admin.RevokeKey(ctx, dsn, "1"); return err },
		"unrevoke": func() error { _, err := admin.UnrevokeKey(ctx, dsn, "2"); return err },
		"rotate":   func() error { _, err := admin.RotateKey(ctx, dsn, "1", time.Hour); return err },
		"update": func() error {
			_, err := admin.UpdateKey(ctx, dsn, "1", admin.KeyChange{Name: new(string), Scopes: scopes})
			return err
		},
		"import": func() error {
			key := imported(2, "c")
			key.Workspace = "w"
			return admin.ImportKeys(ctx, dsn, []admin.ImportedKey{key}, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			pgtest.WantError(t, do(), "hoko.api_keys is a view of your site's table")
		})
	}
	if after := d.Text(`SELECT string_agg(t::text, ';') FROM public.tokens t`); after != before {
		t.Errorf("the tokens changed to %s", after)
	}
	if n := d.Count(`SELECT count(*) FROM hoko.audit`); n != 0 {
		t.Errorf("%d records", n)
	}
	name := "site"
	if got, err := admin.UpdateKey(ctx, dsn, "1", admin.KeyChange{Name: &name}); err != nil || got.Name != name {
		t.Errorf("a column that can be written: %+v, %v", got, err)
	}
	d.Exec(`CREATE OR REPLACE VIEW hoko.api_keys AS SELECT DISTINCT id::text COLLATE "C" AS id,
		team || '' AS workspace_id, label AS name, digest AS key_hash, 'hoko_' || id AS key_start,
		'{linksRead}'::text[] AS scopes, '{}'::text[] AS allowed_hostnames, NULL::integer AS rate_limit,
		NULL::interval AS rate_period,
		NULL::integer AS rate_burst, valid_until AS expires_at,
		CASE WHEN NOT active THEN timestamptz '2026-01-01Z' END AS revoked_at, NULL::timestamptz AS created_at
		FROM public.tokens`)
	_, err = admin.UpdateKey(ctx, dsn, "1", admin.KeyChange{Name: new(string)})
	pgtest.WantError(t, err, "is a view of your site's table")
}
