package keys_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/limit"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
)

func TestKeys_BatchEqualsSingleLookups(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	db.Exec(`INSERT INTO hoko.workspaces (id, rate_limit, disabled_at) VALUES ('open', NULL, NULL), ('limited', 20, NULL), ('disabled', NULL, now())`)
	links, _ := apikey.ParseScope("linksRead")
	past := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	cases := []struct {
		name, workspace, columns, values string
		want                             *apikey.Key // nil for none
	}{
		{"valid", "open", "scopes", "'{linksRead}'", &apikey.Key{Scopes: links}},
		{"valid, the second of its workspace", "open", "allowed_hostnames", "'{example.com}'", &apikey.Key{AllowedHostnames: []string{"example.com"}}},
		{"unknown", "", "", "", nil},
		{"revoked", "open", "revoked_at", "now()", &apikey.Key{Revoked: true}},
		{"expired", "open", "expires_at", "'2001-02-03 04:05:06Z'", &apikey.Key{ExpiresAt: past}},
		{"of a disabled workspace", "disabled", "name", "'n'", &apikey.Key{WorkspaceDisabled: true}},
		{"with its workspace's limit", "limited", "name", "'n'", &apikey.Key{Limit: limit.Limit{Rate: 20, Period: time.Minute, Burst: 20}}},
		{"with a limit of its own", "limited", "rate_limit", "30", &apikey.Key{Limit: limit.Limit{Rate: 30, Period: time.Minute, Burst: 30}}},
		{"unknown as well", "", "", "", nil},
	}
	var hashes []apikey.Hash
	for i, c := range cases {
		hash := sha256.Sum256([]byte(c.name))
		hashes = append(hashes, hash)
		if c.want == nil {
			continue
		}
		c.want.ID, c.want.WorkspaceID, c.want.Hash = fmt.Sprint("k", i), c.workspace, hash
		db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, `+c.columns+`) VALUES ($1, $2, $3, `+c.values+`)`, c.want.ID, c.workspace, hash[:])
	}
	together, err := store.Keys(testenv.Guarded(t), hashes)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i, c := range cases {
		alone, err := store.Key(testenv.Guarded(t), hashes[i])
		if err != nil && !errors.Is(err, apikey.ErrNotFound) || (err != nil) != (c.want == nil) {
			t.Errorf("%s, alone: %v", c.name, err)
		}
		if !reflect.DeepEqual(together[hashes[i]], c.want) || !reflect.DeepEqual(alone, c.want) {
			t.Errorf("%s: together %+v, alone %+v, want %+v", c.name, together[hashes[i]], alone, c.want)
		}
		if c.want != nil {
			found++
		}
	}
	if len(together) != found {
		t.Errorf("%d keys, want %d", len(together), found)
	}
}

func TestKeys_RowThatCannotBeRead(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	db.Exec("INSERT INTO hoko.workspaces (id) VALUES ('w')")
	db.Exec("INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('bad', 'w', sha256('bad'))")
	db.Exec("ALTER TABLE hoko.api_keys SET SCHEMA public")
	db.Exec(`CREATE VIEW hoko.api_keys AS SELECT id, workspace_id, key_hash, scopes, allowed_hostnames,
		CASE id WHEN 'bad' THEN 1 / (length(id) - 3) END AS rate_limit, rate_period, rate_burst, expires_at, revoked_at FROM public.api_keys`)
	if _, err := store.Key(testenv.Guarded(t), sha256.Sum256([]byte("bad"))); err == nil || errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("the row that cannot be read: %v", err)
	}
	if keys, err := store.Keys(testenv.Guarded(t), nil); err != nil || len(keys) > 0 {
		t.Errorf("asked for nothing it says %v %v", keys, err)
	}
	db.Exec("DROP VIEW hoko.api_keys")
	if _, err := store.Keys(testenv.Guarded(t), nil); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("without the relation it says %v", err)
	}
}

// BenchmarkKeys_Batch reports what a key costs in a batch of so many.
func BenchmarkKeys_Batch(b *testing.B) {
	dsn := testenv.Database(b)
	db, store := testenv.Connect(b, dsn), pgtest.OpenKeys(b, postgres.Options{DSN: dsn})
	pgtest.Fill(db, 1, 200_000)
	db.Exec("ANALYZE")
	for _, n := range []int{1, 256, 1024} {
		hashes := make([]apikey.Hash, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for round := 0; b.Loop(); round++ {
				for i := range hashes {
					hashes[i] = sha256.Sum256([]byte(fmt.Sprint(1 + (round*n+i*97)%200_000)))
				}
				if keys, err := store.Keys(b.Context(), hashes); err != nil || len(keys) != n {
					b.Fatal(len(keys), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/key")
		})
	}
}
