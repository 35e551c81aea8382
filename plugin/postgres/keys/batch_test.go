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
	db.Exec(`INSERT INTO hoko.workspaces (id, rate_limit, disabled_at) VALUES
		('open', NULL, NULL), ('limited', 20, NULL), ('disabled', NULL, now())`)
	links, _ := apikey.ParseScope("linksRead")
	past := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	limited := func(rate int) *apikey.Key {
		return &apikey.Key{Limit: limit.Limit{Rate: rate, Period: time.Minute, Burst: rate}}
	}
	cases := []struct {
		name, workspace, columns, values string
		want                             *apikey.Key // nil for none
	}{
		{"valid", "open", "scopes", "'{linksRead}'", &apikey.Key{Scopes: links}},
		{"host", "open", "allowed_hostnames", "'{a.example}'", &apikey.Key{AllowedHostnames: []string{"a.example"}}},
		{"unknown", "", "", "", nil},
		{"revoked", "open", "revoked_at", "now()", &apikey.Key{Revoked: true}},
		{"expired", "open", "expires_at", "'2001-02-03 04:05:06Z'", &apikey.Key{ExpiresAt: past}},
		{"disabled workspace", "disabled", "name", "'n'", &apikey.Key{WorkspaceDisabled: true}},
		{"workspace's limit", "limited", "name", "'n'", limited(20)},
		{"key's limit", "limited", "rate_limit", "30", limited(30)},
		{"also unknown", "", "", "", nil},
	}
	var hashes []apikey.Hash
	for i, c := range cases {
		hash := sha256.Sum256([]byte(c.name))
		hashes = append(hashes, hash)
		if c.want == nil {
			continue
		}
		c.want.ID, c.want.WorkspaceID, c.want.Hash = fmt.Sprint("k", i), c.workspace, hash
		db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, `+c.columns+`)
			VALUES ($1, $2, $3, `+c.values+`)`, c.want.ID, c.workspace, hash[:])
	}
	batch, err := store.Keys(testenv.Guarded(t), hashes)
	testenv.NoError(t, err)
	found := 0
	for i, c := range cases {
		single, err := store.Key(testenv.Guarded(t), hashes[i])
		if err != nil && !errors.Is(err, apikey.ErrNotFound) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !reflect.DeepEqual(batch[hashes[i]], c.want) || !reflect.DeepEqual(single, c.want) {
			t.Errorf("%s: in a batch %+v, single %+v, want %+v", c.name, batch[hashes[i]], single, c.want)
		}
		if c.want != nil {
			found++
		}
	}
	if len(batch) != found {
		t.Errorf("%d keys, want %d", len(batch), found)
	}
}

func TestKeys_RowThatCannotBeRead(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	db.Exec("INSERT INTO hoko.workspaces (id) VALUES ('w')")
	db.Exec("INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('bad', 'w', sha256('bad'))")
	db.Exec("ALTER TABLE hoko.api_keys SET SCHEMA public")
	db.Exec(`CREATE VIEW hoko.api_keys AS SELECT id, workspace_id, key_hash, scopes, allowed_hostnames,
		CASE id WHEN 'bad' THEN 1 / (length(id) - 3) END AS rate_limit, rate_period, rate_burst, expires_at, revoked_at
		FROM public.api_keys`)
	wantFailure(t, store, sha256.Sum256([]byte("bad")))
	if keys, err := store.Keys(testenv.Guarded(t), nil); err != nil || len(keys) > 0 {
		t.Errorf("lookup of no keys: %v %v", keys, err)
	}
	db.Exec("DROP VIEW hoko.api_keys")
	if _, err := store.Keys(testenv.Guarded(t), nil); !errors.Is(err, postgres.ErrSchema) {
		t.Errorf("lookup without the relation: %v", err)
	}
}

// BenchmarkKeys_Batch reports the time per key for batches of different sizes.
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
