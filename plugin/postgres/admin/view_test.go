package admin_test

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

// ignoringView replaces a table by a view whose trigger accepts every change and makes none.
const ignoringView = `
ALTER TABLE hoko.%[1]s RENAME TO site_%[1]s;
CREATE VIEW hoko.%[1]s AS SELECT * FROM hoko.site_%[1]s;
CREATE FUNCTION hoko.ignore_%[1]s() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER ignore INSTEAD OF UPDATE ON hoko.%[1]s FOR EACH ROW EXECUTE FUNCTION hoko.ignore_%[1]s()`

// The trigger of a site may ignore columns: then the commands must not report, or record, a change.
func TestKeys_IgnoredChangeFails(t *testing.T) {
	dsn, d := importDatabase(t)
	key := createKey(t, dsn, admin.NewKey{Workspace: "w1", Scopes: scopes})
	gone := createKey(t, dsn, admin.NewKey{Workspace: "w1", Scopes: scopes})
	d.Exec(`UPDATE hoko.api_keys SET revoked_at = now() WHERE id = $1`, gone.ID)
	d.Exec(`TRUNCATE hoko.audit`)
	d.Exec(fmt.Sprintf(ignoringView, "api_keys"))
	ctx, name, expires, hosts := testenv.Guarded(t), "new", time.Now().Add(time.Hour), []string{"a.example"}
	update := func(c admin.KeyChange) error { _, err := admin.UpdateKey(ctx, dsn, key.ID, c); return err }
	for text, err := range map[string]error{
		"a change of name":       update(admin.KeyChange{Name: &name}),
		"a change of scopes":     update(admin.KeyChange{Scopes: []string{"linksRead"}}),
		"a change of hostnames":  update(admin.KeyChange{Hostnames: &hosts}),
		"a change of expires_at": update(admin.KeyChange{ExpiresAt: &expires}),
		"a change of limit":      update(admin.KeyChange{Limit: &limit.Limit{Rate: 5}}),
	} {
		pgtest.WantError(t, err, text)
	}
	_, err := admin.RotateKey(ctx, dsn, key.ID, time.Hour)
	pgtest.WantError(t, err, "expires_at")
	_, err = admin.UnrevokeKey(ctx, dsn, gone.ID)
	pgtest.WantError(t, err, "a change of revoked_at")
	_, err = admin.RevokeKey(ctx, dsn, key.ID)
	pgtest.WantError(t, err, "is a view of your site's table")
	if n := d.Count(`SELECT (SELECT count(*) FROM hoko.api_keys) + (SELECT count(*) FROM hoko.audit)`); n != 2 {
		t.Errorf("%d keys and rows in hoko.audit", n)
	}
}

func TestWorkspaces_IgnoredChangeFails(t *testing.T) {
	dsn, d := importDatabase(t)
	d.Exec(fmt.Sprintf(ignoringView, "workspaces"))
	ctx, name := testenv.Guarded(t), "new"
	_, err := admin.UpdateWorkspace(ctx, dsn, "w1", admin.WorkspaceChange{Name: &name})
	pgtest.WantError(t, err, "a change of name")
	hourly := limit.Limit{Rate: 5, Period: time.Hour, Burst: 5}
	_, err = admin.UpdateWorkspace(ctx, dsn, "w1", admin.WorkspaceChange{Limit: &hourly})
	pgtest.WantError(t, err, "a change of limit")
	_, _, err = admin.SetWorkspaceDisabled(ctx, dsn, "w1", true)
	pgtest.WantError(t, err, "a change of disabled_at")
	if n := d.Count(`SELECT count(*) FROM hoko.audit`); n != 0 {
		t.Errorf("%d rows in hoko.audit", n)
	}
}

// As edges see it: they reject a key whose time of revocation is not null.
func TestFindKey_RevokedAtInfinity(t *testing.T) {
	dsn, d := importDatabase(t)
	key := createKey(t, dsn, admin.NewKey{Workspace: "w1", Scopes: scopes})
	for _, at := range []string{"infinity", "-infinity"} {
		d.Exec(`UPDATE hoko.api_keys SET revoked_at = $1::text::timestamptz`, at)
		if findKey(t, dsn, key.ID).RevokedAt.IsZero() {
			t.Errorf("%s: it is not revoked", at)
		}
	}
}

// Keys of other gateways may have the form of a SHA-256 in hex.
func TestFindKey_LooksLikeAHash(t *testing.T) {
	dsn, _ := importDatabase(t)
	key := fmt.Sprintf("%064d", 1)
	imports := []admin.ImportedKey{imported(2, key)}
	testenv.NoError(t, admin.ImportKeys(testenv.Guarded(t), dsn, imports, false))
	if byKey, byHash := findKey(t, dsn, key), findKey(t, dsn, imports[0].Hash.String()); byKey.ID != byHash.ID {
		t.Errorf("got %+v and %+v", byKey, byHash)
	}
}
