package admin_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func createWorkspace(t *testing.T, dsn string, wanted admin.NewWorkspace) admin.WorkspaceInfo {
	t.Helper()
	created, err := admin.CreateWorkspace(testenv.Guarded(t), dsn, wanted)
	testenv.NoError(t, err)
	return created
}

func listWorkspaces(t *testing.T, dsn string) []admin.WorkspaceInfo {
	t.Helper()
	all, err := admin.ListWorkspaces(testenv.Guarded(t), dsn)
	testenv.NoError(t, err)
	return all
}

// audit returns the rows of hoko.audit, in order.
func audit(d testenv.DB) string {
	return d.Text(`SELECT coalesce(string_agg(command || ' ' || workspace_id || ' ' || details, E'\n' ORDER BY id), '')
		FROM hoko.audit WHERE os_user LIKE '%@%' AND database_user = session_user`)
}

func TestListWorkspaces_CountsValidKeys(t *testing.T) {
	dsn := testenv.Database(t)
	testenv.Connect(t, dsn).Exec(`
		INSERT INTO hoko.workspaces (id, name, rate_limit, rate_burst, disabled_at, created_at) VALUES
			('w1', 'b', 10, 5, NULL, '2026-01-01Z'), ('w2', 'a', 0, NULL, '2026-02-01Z', '2026-01-02Z'),
			('w3', 'c', NULL, NULL, '-infinity', 'infinity');
		INSERT INTO hoko.api_keys (workspace_id, key_hash, revoked_at, expires_at)
		SELECT 'w1', sha256(i::text::bytea), CASE i WHEN 1 THEN now() END,
			CASE i WHEN 2 THEN now() WHEN 3 THEN now() + interval '1 hour' END FROM generate_series(1, 4) i
		UNION ALL SELECT 'w2', sha256('x'), NULL, NULL`)
	at := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	want := []admin.WorkspaceInfo{
		{ID: "w2", Name: "a", Disabled: true, DisabledAt: at(2, 1), CreatedAt: at(1, 2), ValidKeys: 1},
		{ID: "w1", Name: "b", Limit: limit.Limit{Rate: 10, Period: time.Minute, Burst: 5}, CreatedAt: at(1, 1),
			ValidKeys: 2},
		{ID: "w3", Name: "c", Disabled: true},
	}
	if got := listWorkspaces(t, dsn); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestCreateWorkspace_IsStoredAndRecorded(t *testing.T) {
	dsn := testenv.Database(t)
	l := limit.Limit{Rate: 10, Period: 36 * time.Hour, Burst: 5}
	full := createWorkspace(t, dsn, admin.NewWorkspace{ID: "ws_1", Name: "Acme", Limit: l})
	if full.ID != "ws_1" || full.Name != "Acme" || full.Limit != l || full.Disabled || full.CreatedAt.IsZero() {
		t.Errorf("created %+v", full)
	}
	plain := createWorkspace(t, dsn, admin.NewWorkspace{Name: "Zoë"})
	if plain.ID == "" || plain.Name != "Zoë" || plain.Limit != (limit.Limit{}) {
		t.Errorf("created %+v", plain)
	}
	if got := listWorkspaces(t, dsn); !reflect.DeepEqual(got, []admin.WorkspaceInfo{full, plain}) {
		t.Errorf("listed %+v", got)
	}
	want := `workspaces create ws_1 {"name": "Acme", "limit": "10/1d12h burst 5"}` + "\n" +
		`workspaces create ` + plain.ID + ` {"name": "Zoë"}`
	if got := audit(testenv.Connect(t, dsn)); got != want {
		t.Errorf("recorded\n%s", got)
	}
}

func TestCreateWorkspace_InvalidChangesNothing(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'Acme')`)
	for name, c := range map[string]struct {
		wanted admin.NewWorkspace
		want   string
	}{
		"name in use":       {admin.NewWorkspace{Name: "Acme"}, "in use: there is workspace ws_1 (Acme)"},
		"name is an ID":     {admin.NewWorkspace{Name: "ws_1"}, "in use: there is workspace ws_1 (Acme)"},
		"ID in use":         {admin.NewWorkspace{ID: "ws_1", Name: "b"}, "in use"},
		"ID is a name":      {admin.NewWorkspace{ID: "Acme", Name: "b"}, "in use"},
		"no name":           {admin.NewWorkspace{}, "1 to 255 printable characters"},
		"blank name":        {admin.NewWorkspace{Name: "  "}, "1 to 255 printable characters"},
		"control character": {admin.NewWorkspace{Name: "a\nb"}, `not "a\nb"`},
		"NUL in the ID":     {admin.NewWorkspace{ID: "\x00", Name: "b"}, `not "\x00"`},
		"not UTF-8":         {admin.NewWorkspace{Name: "\xff"}, `not "\xff"`},
		"too long":          {admin.NewWorkspace{Name: strings.Repeat("ö", 256)}, "1 to 255"},
		"quota": {admin.NewWorkspace{Name: "b", Limit: limit.Limit{Rate: 5, Burst: 5, Calendar: limit.Month}},
			"cannot hold a quota per month"},
		"invalid limit": {admin.NewWorkspace{Name: "b", Limit: limit.Limit{Rate: 1}}, "limit: burst must be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := admin.CreateWorkspace(testenv.Guarded(t), dsn, c.wanted)
			pgtest.WantError(t, err, c.want)
		})
	}
	if n := d.Count(`SELECT (SELECT count(*) FROM hoko.workspaces) + (SELECT count(*) FROM hoko.audit)`); n != 1 {
		t.Errorf("%d rows", n)
	}
	createWorkspace(t, dsn, admin.NewWorkspace{Name: strings.Repeat("ö", 255)})
}

// No index keeps names unique: a site's SQL may have written one twice.
func TestCreateWorkspace_ConcurrentlyOnce(t *testing.T) {
	dsn := testenv.Database(t)
	var created sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		created.Go(func() {
			_, errs[i] = admin.CreateWorkspace(testenv.Guarded(t), dsn, admin.NewWorkspace{Name: "Acme"})
		})
	}
	created.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			pgtest.WantError(t, err, "in use")
			failed++
		}
	}
	if n := len(listWorkspaces(t, dsn)); n != 1 || failed != 7 {
		t.Errorf("%d workspaces, %d errors", n, failed)
	}
}

func TestUpdateWorkspace(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	createWorkspace(t, dsn, admin.NewWorkspace{ID: "ws_1", Name: "Acme"})
	createWorkspace(t, dsn, admin.NewWorkspace{ID: "ws_2", Name: "Other"})
	d.Exec(`TRUNCATE hoko.audit`)
	name, hourly, none := "Acme Ltd", limit.Limit{Rate: 5, Period: time.Hour, Burst: 5}, limit.Limit{}
	want := admin.WorkspaceInfo{ID: "ws_1", Name: "Acme", CreatedAt: listWorkspaces(t, dsn)[0].CreatedAt}
	for i, step := range []struct {
		which  string
		change admin.WorkspaceChange
		name   string
		limit  limit.Limit
	}{
		{"Acme", admin.WorkspaceChange{Limit: &hourly}, "Acme", hourly},
		{"ws_1", admin.WorkspaceChange{Burst: 2}, "Acme", limit.Limit{Rate: 5, Period: time.Hour, Burst: 2}},
		{"ws_1", admin.WorkspaceChange{Name: &name}, name, limit.Limit{Rate: 5, Period: time.Hour, Burst: 2}},
		{name, admin.WorkspaceChange{Name: &name, Limit: &none}, name, none},
	} {
		got, err := admin.UpdateWorkspace(testenv.Guarded(t), dsn, step.which, step.change)
		want.Name, want.Limit = step.name, step.limit
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: %+v, %v", i, got, err)
		}
	}
	recorded := `workspaces update ws_1 {"limit": {"to": "5/1h", "from": ""}}
workspaces update ws_1 {"limit": {"to": "5/1h burst 2", "from": "5/1h"}}
workspaces update ws_1 {"name": {"to": "Acme Ltd", "from": "Acme"}}
workspaces update ws_1 {"name": {"to": "Acme Ltd", "from": "Acme Ltd"}, "limit": {"to": "", "from": "5/1h burst 2"}}`
	if got := audit(d); got != recorded {
		t.Errorf("recorded\n%s", got)
	}
	other, absurd := "Other", limit.Limit{Rate: 2e9, Period: time.Hour, Burst: 1}
	for text, c := range map[string]struct {
		which  string
		change admin.WorkspaceChange
	}{
		"nothing to change":               {"ws_1", admin.WorkspaceChange{}},
		"no such workspace":               {"ws_3", admin.WorkspaceChange{Name: &name}},
		"there is workspace ws_2 (Other)": {"ws_1", admin.WorkspaceChange{Name: &other, Limit: &hourly}},
		"--burst needs a --limit":         {"ws_1", admin.WorkspaceChange{Burst: 5}},
		"limit: rate must be":             {"ws_1", admin.WorkspaceChange{Name: &name, Limit: &absurd}},
		"limit: burst must be":            {"ws_1", admin.WorkspaceChange{Limit: &hourly, Burst: -1}},
	} {
		_, err := admin.UpdateWorkspace(testenv.Guarded(t), dsn, c.which, c.change)
		pgtest.WantError(t, err, text)
	}
	if got := listWorkspaces(t, dsn)[0]; !reflect.DeepEqual(got, want) || audit(d) != recorded {
		t.Errorf("an error changed %+v\n%s", got, audit(d))
	}
}

func TestSetWorkspaceDisabled_TwiceIsNoChange(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'Acme'), ('ws_2', 'Other')`)
	var first admin.WorkspaceInfo
	for i, step := range []struct{ disabled, changed bool }{
		{false, false}, {true, true}, {true, false}, {false, true},
	} {
		w, changed, err := admin.SetWorkspaceDisabled(testenv.Guarded(t), dsn, "Acme", step.disabled)
		if err != nil || changed != step.changed || w.Disabled != step.disabled ||
			w.DisabledAt.IsZero() == step.disabled {
			t.Errorf("step %d: %+v, %t, %v", i, w, changed, err)
		}
		if i == 1 {
			first = w
		}
		if i == 2 && !w.DisabledAt.Equal(first.DisabledAt) {
			t.Errorf("disabled again at %s", w.DisabledAt)
		}
	}
	if got := audit(d); got != "workspaces disable ws_1 {}\nworkspaces enable ws_1 {}" {
		t.Errorf("recorded\n%s", got)
	}
	_, _, err := admin.SetWorkspaceDisabled(testenv.Guarded(t), dsn, "ws_3", true)
	pgtest.WantError(t, err, "there are ws_1 (Acme), ws_2 (Other)")
}

// The change and its row in hoko.audit are one transaction.
func TestWorkspace_NoChangeWithoutARecord(t *testing.T) {
	dsn := testenv.Database(t)
	d := testenv.Connect(t, dsn)
	d.Exec(`INSERT INTO hoko.workspaces (id, name) VALUES ('ws_1', 'Acme'); DROP TABLE hoko.audit`)
	name := "New"
	for text, do := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := admin.CreateWorkspace(ctx, dsn, admin.NewWorkspace{Name: name})
			return err
		},
		"update": func(ctx context.Context) error {
			_, err := admin.UpdateWorkspace(ctx, dsn, "ws_1", admin.WorkspaceChange{Name: &name})
			return err
		},
		"disable": func(ctx context.Context) error {
			_, _, err := admin.SetWorkspaceDisabled(ctx, dsn, "ws_1", true)
			return err
		},
	} {
		if err := do(testenv.Guarded(t)); !errors.Is(err, postgres.ErrSchema) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if got := listWorkspaces(t, dsn); len(got) != 1 || got[0].Name != "Acme" || got[0].Disabled {
		t.Errorf("it changed: %+v", got)
	}
}
