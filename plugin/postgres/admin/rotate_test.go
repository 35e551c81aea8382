package admin_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func TestRotateKey_SameRights(t *testing.T) {
	for name, c := range map[string]struct {
		grace, lifetime time.Duration // lifetime 0: forever
		want            time.Duration
	}{
		"expires after the grace":       {24 * time.Hour, 0, 24 * time.Hour},
		"expires before the grace ends": {24 * time.Hour, time.Hour, time.Hour},
		"expires immediately":           {0, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			d := testenv.Connect(t, dsn)
			old := keyWithAll(t, dsn)
			// What KeyInfo does not hold must be copied as well.
			d.Exec(`UPDATE hoko.api_keys SET rate_limit = 0, rate_burst = NULL,
				scopes = '{conversionsWrite,NULL,other}', expires_at = now() + nullif($1::interval, '0')`, c.lifetime)
			other := createKey(t, dsn, admin.NewKey{Workspace: "Acme", Scopes: scopes})
			const rights = `SELECT (to_jsonb(k) - '{id,key_hash,key_start,created_at,expires_at}'::text[])::text
				FROM hoko.api_keys k WHERE id = $1`
			before, expires := d.Text(rights, old.ID), findKey(t, dsn, old.ID).ExpiresAt
			rotated, err := admin.RotateKey(testenv.Guarded(t), dsn, old.ID, c.grace)
			testenv.NoError(t, err)
			if !admin.ValidKey(rotated.Key) || rotated.Key == old.Key || findKey(t, dsn, rotated.Key).ID != rotated.ID {
				t.Errorf("got %+v", rotated.CreatedKey)
			}
			if got := d.Text(rights, rotated.ID); got != before || d.Text(rights, old.ID) != before {
				t.Errorf("got  %s\nwant %s", got, before)
			}
			if got := findKey(t, dsn, rotated.ID).ExpiresAt; !got.Equal(expires) {
				t.Errorf("the new key expires at %s, want %s", got, expires)
			}
			left := time.Until(rotated.Old.ExpiresAt)
			stored := findKey(t, dsn, old.Key).ExpiresAt
			if left > c.want || left < c.want-time.Minute || !stored.Equal(rotated.Old.ExpiresAt) {
				t.Errorf("the old key expires in %s, want %s", left, c.want)
			}
			if !findKey(t, dsn, other.ID).ExpiresAt.IsZero() {
				t.Error("another key changed")
			}
			if record := audited(t, d, "keys rotate", old); !strings.Contains(record, rotated.ID) {
				t.Errorf("recorded %s", record)
			}
		})
	}
}

func TestRotateKey_InvalidChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		grace  time.Duration
		want   string
	}{
		"revoked":        {`UPDATE hoko.api_keys SET revoked_at = now()`, time.Hour, "was revoked at"},
		"expired":        {`UPDATE hoko.api_keys SET expires_at = now() - interval '1 s'`, time.Hour, "expired at"},
		"negative grace": {`SELECT`, -time.Second, "negative"},
		"deleted":        {`DELETE FROM hoko.api_keys`, time.Hour, "no such key"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testenv.Database(t)
			d := testenv.Connect(t, dsn)
			old := keyWithAll(t, dsn)
			d.Exec(c.change)
			const rows = `SELECT coalesce(string_agg(k::text, ';'), '') FROM hoko.api_keys k`
			before := d.Text(rows)
			_, err := admin.RotateKey(testenv.Guarded(t), dsn, old.ID, c.grace)
			pgtest.WantError(t, err, c.want)
			if d.Text(rows) != before {
				t.Error("a key changed")
			}
		})
	}
}

// Otherwise a repeated command would leave a key that no caller uses.
func TestRotateKey_TwiceIsRejected(t *testing.T) {
	dsn := testenv.Database(t)
	old := keyWithAll(t, dsn)
	first, err := admin.RotateKey(testenv.Guarded(t), dsn, old.ID, time.Minute)
	testenv.NoError(t, err)
	_, err = admin.RotateKey(testenv.Guarded(t), dsn, old.ID, time.Minute)
	pgtest.WantError(t, err, "was rotated already")
	pgtest.WantError(t, err, first.ID)
	if _, err := admin.RotateKey(testenv.Guarded(t), dsn, first.ID, time.Minute); err != nil {
		t.Errorf("the successor: %v", err)
	}
	_, err = admin.UpdateKey(testenv.Guarded(t), dsn, old.ID, admin.KeyChange{ExpiresAt: new(time.Time)})
	testenv.NoError(t, err)
	if _, err := admin.RotateKey(testenv.Guarded(t), dsn, old.ID, time.Minute); err != nil {
		t.Errorf("a key that no longer expires: %v", err)
	}
}

// Another session's transaction holds the key until all of them wait.
func TestRotateKey_ConcurrentlyOnce(t *testing.T) {
	dsn := testenv.Database(t)
	old := keyWithAll(t, dsn)
	holder, observer := testenv.Connect(t, dsn), testenv.Connect(t, dsn)
	holder.Exec(`BEGIN; UPDATE hoko.api_keys SET name = 'changed meanwhile'`)
	const rotations = 4
	results, ctx := make(chan error, rotations), testenv.Guarded(t)
	for range rotations {
		go func() { _, err := admin.RotateKey(ctx, dsn, old.ID, time.Hour); results <- err }()
	}
	awaitLock(t, ctx, observer, rotations)
	holder.Exec(`COMMIT`)
	var rejected int
	for range rotations {
		if err := <-results; err != nil {
			pgtest.WantError(t, err, "was rotated already")
			rejected++
		}
	}
	n := observer.Count(`SELECT count(*) FROM hoko.api_keys WHERE name = 'changed meanwhile'`)
	if n != 2 || rejected != rotations-1 {
		t.Errorf("%d keys, %d rejected", n, rejected)
	}
}

func TestKeys_EdgesRoleOnlyRevokes(t *testing.T) {
	dsn := testenv.Database(t)
	created := keyWithAll(t, dsn)
	runRoleScript(t, dsn)
	edge := dsn + "&role=hoko_edge"
	ctx, ownErr := testenv.Guarded(t), func(err error) bool {
		return err != nil && strings.Contains(postgres.OwnerError(err).Error(), "connection string of the owner")
	}
	if _, err := admin.ListKeys(ctx, edge, admin.KeyFilter{UnusedSince: time.Now()}); err != nil {
		t.Error(err)
	}
	if _, err := admin.FindKey(ctx, edge, created.Start); err != nil {
		t.Error(err)
	}
	name := "x"
	_, update := admin.UpdateKey(ctx, edge, created.ID, admin.KeyChange{Name: &name})
	_, rotate := admin.RotateKey(ctx, edge, created.ID, 0)
	if !ownErr(update) || !ownErr(rotate) {
		t.Error(errors.Join(update, rotate))
	}
	revoked, err := admin.RevokeKey(ctx, edge, created.Key)
	if err != nil || findKey(t, dsn, created.ID).RevokedAt != revoked.RevokedAt {
		t.Errorf("%+v, %v", revoked, err)
	}
	audited(t, testenv.Connect(t, dsn), "keys revoke", created)
	if _, err := admin.UnrevokeKey(ctx, edge, created.ID); !ownErr(err) {
		t.Error(err)
	}
}

func runRoleScript(t *testing.T, dsn string) {
	t.Helper()
	script, err := os.ReadFile("../../../docs/role.sql")
	testenv.NoError(t, err)
	testenv.Connect(t, dsn).Exec(string(script))
}
