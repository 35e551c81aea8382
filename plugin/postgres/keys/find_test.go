package keys_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

func TestFind_ByIDOrFirstCharacters(t *testing.T) {
	dsn := testenv.Database(t)
	db, store := testenv.Connect(t, dsn), pgtest.OpenKeys(t, postgres.Options{DSN: dsn})
	seedKey(db, "", "")
	hashes := map[string]apikey.Hash{}
	for i, start := range []string{"id3", "hoko_Bbbb", "hoko_Bbbb", "hoko_Aaaa"} {
		id := fmt.Sprint("id", i)
		hash := sha256.Sum256([]byte(id))
		hashes[id] = hash
		db.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash, key_start) VALUES ($1, 'w1', $2, $3)`,
			id, hash[:], start)
	}
	for which, id := range map[string]string{"id1": "id1", "hoko_Aaaa": "id3", "id3": "id3"} {
		if got, err := store.Find(t.Context(), which); err != nil || got != hashes[id] {
			t.Errorf("%s: %s %v, want that of %s", which, got, err, id)
		}
	}
	for _, which := range []string{"id", "hoko_", "hoko_Aaa_"} {
		if _, err := store.Find(t.Context(), which); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("%q: %v", which, err)
		}
	}
	_, err := store.Find(t.Context(), "hoko_Bbbb")
	ambiguous, ok := errors.AsType[*keys.AmbiguousError](err)
	if !ok || !slices.Equal(ambiguous.IDs, []string{"id1", "id2"}) {
		t.Errorf("got %v", err)
	}
}
