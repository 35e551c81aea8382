package admin_test

import (
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// As in docs/adopting.md: integer IDs, a flag instead of a time, and no created_at.
const siteWorkspaces = `
DROP TABLE hoko.workspaces CASCADE;
CREATE SCHEMA site;
CREATE TABLE site.teams (id integer PRIMARY KEY, title text, per_minute integer, suspended boolean DEFAULT false);
INSERT INTO site.teams VALUES (1, 'one', 60, false), (2, NULL, NULL, true);
CREATE VIEW hoko.workspaces AS
SELECT id::text COLLATE "C" AS id, title AS name, per_minute AS rate_limit, interval '1 minute' AS rate_period,
       NULL::integer AS rate_burst, CASE WHEN suspended THEN timestamptz '-infinity' END AS disabled_at
FROM site.teams`

func TestWorkspaces_OverASitesView(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(siteWorkspaces)
	got := listWorkspaces(t, dsn)
	if len(got) != 2 || got[0].Limit.String() != "60/1m" || got[0].Disabled || !got[1].Disabled || got[1].Name != "" ||
		!got[1].DisabledAt.IsZero() || !got[1].CreatedAt.IsZero() {
		t.Errorf("listed %+v", got)
	}
	const there = "is a view of your site's table (docs/adopting.md): make this change there"
	ctx := testenv.Guarded(t)
	_, err := admin.CreateWorkspace(ctx, dsn, admin.NewWorkspace{ID: "3", Name: "three"})
	pgtest.WantError(t, err, there)
	_, _, err = admin.SetWorkspaceDisabled(ctx, dsn, "one", true)
	pgtest.WantError(t, err, there)
	_, err = admin.UpdateWorkspace(ctx, dsn, "one", admin.WorkspaceChange{Limit: new(limit.Limit)})
	pgtest.WantError(t, err, there)
	if n := d.Count(`SELECT count(*) FROM hoko.audit`); n != 0 {
		t.Errorf("%d rows in hoko.audit", n)
	}
	name := "uno" // a plain column
	w, err := admin.UpdateWorkspace(ctx, dsn, "1", admin.WorkspaceChange{Name: &name})
	if err != nil || w.Name != name {
		t.Errorf("%+v, %v", w, err)
	}
	d.Exec(`CREATE OR REPLACE VIEW hoko.workspaces AS SELECT DISTINCT id::text COLLATE "C" AS id, title AS name,
		per_minute AS rate_limit, interval '1 minute' AS rate_period, NULL::integer AS rate_burst,
		NULL::timestamptz AS disabled_at FROM site.teams`)
	_, err = admin.UpdateWorkspace(ctx, dsn, "1", admin.WorkspaceChange{Name: &name})
	pgtest.WantError(t, err, there)
	_, err = admin.CreateWorkspace(ctx, dsn, admin.NewWorkspace{Name: "three"})
	pgtest.WantError(t, err, there)
}

func TestCompleteWorkspaces_ByPrefixOfTheID(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`INSERT INTO hoko.workspaces (id, name)
		SELECT 'w_' || i, 'name ' || i FROM generate_series(1, 9) i; INSERT INTO hoko.workspaces (id) VALUES ('W_%')`)
	for prefix, want := range map[string]int{"": 5, "w_": 5, "w_3": 1, "W": 1, "%": 0} {
		got, err := admin.CompleteWorkspaces(testenv.Guarded(t), dsn, prefix, 5)
		if err != nil || len(got) != want {
			t.Errorf("%q: %+v, %v", prefix, got, err)
		}
	}
	if got, err := admin.CompleteWorkspaces(testenv.Guarded(t), dsn, "w_3", 5); err != nil || got[0].Name != "name 3" {
		t.Errorf("%+v, %v", got, err)
	}
}
