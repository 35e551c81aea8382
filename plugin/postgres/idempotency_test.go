package postgres_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

func TestOldIdempotencyKeysAreDeletedAndYoungOnesStay(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	young := mustRecord(t, store, sell("k", keyed("young")))
	// More than one slice of the table.
	shop.exec(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
		SELECT 'w' || i % 3, 'old' || i, '', gen_random_uuid(), to_json(repeat('x', 1000)), now() - interval '7 days 1 minute' FROM generate_series(1, 9000) i`)
	shop.exec("UPDATE hoko.idempotency_keys SET created_at = now() - interval '7 days' + interval '1 minute' WHERE key LIKE 'old%00'")
	deleted, err := postgres.CleanIdempotencyKeys(guarded(t), shop.dsn, postgres.MinKeyAge)
	if err != nil || deleted != 8910 {
		t.Errorf("%d are deleted, %v", deleted, err)
	}
	if n := value[int](shop.database, "SELECT count(*) FROM hoko.idempotency_keys"); n != 91 {
		t.Errorf("%d are left, want 91", n)
	}
	if again := mustRecord(t, store, sell("k", keyed("young"))); !again.Replayed || again.SaleID != young.SaleID {
		t.Errorf("the young key: %+v", again)
	}
}

func TestIdempotencyKeysAreKeptForThePromisedTime(t *testing.T) {
	shop := openShop(t)
	if _, err := postgres.CleanIdempotencyKeys(guarded(t), shop.dsn, postgres.MinKeyAge-time.Second); err == nil {
		t.Error("younger keys would have been deleted")
	}
}

// An uncommitted clean-up of everything that is old stands in for one that is just under way.
func TestCleanUpHoldsUpNoSale(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	mustRecord(t, store, sell("k", keyed("old")))
	shop.exec("UPDATE hoko.idempotency_keys SET created_at = now() - interval '9 days'")
	mustRecord(t, store, sell("k", keyed("young")))
	stranger := shop.lock("DELETE FROM hoko.idempotency_keys WHERE created_at < now() - interval '8 days'")
	for i, s := range []*sale.Sale{sell("k"), sell("k", keyed("new")), sell("k", keyed("young")), sell("k", keyed("old"))} {
		if got := mustRecord(t, store, s); got.Replayed != (i >= 2) {
			t.Errorf("sale %d: replayed %v", i, got.Replayed)
		}
	}
	stranger.exec("COMMIT")
	if got := mustRecord(t, store, sell("k", keyed("old"))); got.Replayed {
		t.Error("a replay of a key that is gone")
	}
}

func TestPersonIsErasedFromTheAnswersAndTheirRetriesAreNoSecondSales(t *testing.T) {
	shop := openShop(t)
	store := shop.store()
	person := func(key string, change ...func(*sale.Sale)) *sale.Sale {
		return sell("person", append([]func(*sale.Sale){keyed(key), named("Lovelace"), mailing(set("lovelace@example.com")),
			pictured(set("https://example.com/lovelace")), noting(`{"note":"Lovelace"}`)}, change...)...)
	}
	first := mustRecord(t, store, person("one"))
	mustRecord(t, store, person("two"))
	namesake := mustRecord(t, store, person("one", inWorkspace("w2"), byClick("y1")))
	neighbour := mustRecord(t, store, sell("k", keyed("three"), named("Lovelace"), mailing(set("lovelace@example.com"))))
	for _, want := range []int64{2, 0} {
		if erased, err := postgres.EraseAnswers(guarded(t), shop.dsn, "w1", "person"); err != nil || erased != want {
			t.Errorf("%d answers are erased, %v; want %d", erased, err, want)
		}
	}
	if left := shop.rows("SELECT response FROM hoko.idempotency_keys WHERE workspace_id = 'w1' AND key IN ('one', 'two')"); strings.Contains(strings.ToLower(left), "lovelace") {
		t.Errorf("left: %s", left)
	}
	before := shop.sales("true")
	again := mustRecord(t, store, person("one"))
	if !again.Replayed || again.SaleID != first.SaleID || again.Link.ID != first.Link.ID {
		t.Errorf("the retry: %+v", again)
	}
	if c := again.Customer; c.ID != first.Customer.ID || c.ExternalID != "person" || c.Name != "" || c.Email != nil || c.Phone != nil || c.Avatar != nil || again.Metadata != nil {
		t.Errorf("the retry is answered %+v with %s", c, again.Metadata)
	}
	for first, retry := range map[*sale.Recorded]*sale.Sale{
		namesake:  person("one", inWorkspace("w2"), byClick("y1")),
		neighbour: sell("k", keyed("three"), named("Lovelace"), mailing(set("lovelace@example.com"))),
	} {
		got := mustRecord(t, store, retry)
		if a, b := sale.AppendResponse(nil, first), sale.AppendResponse(nil, got); !bytes.Equal(a, b) {
			t.Errorf("another's answer was\n%s\nand is\n%s", a, b)
		}
	}
	if n := shop.sales("true"); n != before {
		t.Errorf("%d sales after the retries, want %d", n, before)
	}
}

func TestErasureWaitsForSalesThatAreJustBeingRecorded(t *testing.T) {
	shop := openShop(t)
	mustRecord(t, shop.store(), sell("person", keyed("one"), named("Lovelace")))
	stranger := shop.lock(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
		SELECT workspace_id, 'two', fingerprint, gen_random_uuid(), response FROM hoko.idempotency_keys`)
	erased := make(chan int64)
	go func() {
		defer close(erased)
		n, err := postgres.EraseAnswers(guarded(t), shop.dsn, "w1", "person")
		if err != nil {
			t.Error(err)
		}
		erased <- n
	}()
	until(t, "it asks whether the sale is still open", func() bool {
		return value[int](shop.database, "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT EXISTS \\(SELECT FROM pg_locks' AND datname = current_database()") == 1
	})
	stranger.exec("COMMIT")
	if n := <-erased; n != 2 {
		t.Errorf("%d answers are erased, want 2", n)
	}
}

func TestKeysInATableWithPartitionsAreNotPassedOverInSilence(t *testing.T) {
	shop := openShop(t)
	shop.exec("ALTER TABLE hoko.idempotency_keys RENAME TO part")
	shop.exec("CREATE TABLE hoko.idempotency_keys (LIKE hoko.part) PARTITION BY LIST (workspace_id)")
	if _, err := postgres.CleanIdempotencyKeys(guarded(t), shop.dsn, postgres.MinKeyAge); err == nil || !strings.Contains(err.Error(), "not an ordinary table") {
		t.Errorf("error %v", err)
	}
	if _, err := postgres.EraseAnswers(guarded(t), shop.dsn, "w1", "person"); err == nil || !strings.Contains(err.Error(), "not an ordinary table") {
		t.Errorf("error %v", err)
	}
}

func TestErasureNamesTheWorkspacesThereAre(t *testing.T) {
	shop := openShop(t)
	if _, err := postgres.EraseAnswers(guarded(t), shop.dsn, "none", "person"); err == nil || !strings.Contains(err.Error(), "w1") {
		t.Errorf("error %v", err)
	}
	if _, err := postgres.EraseAnswers(guarded(t), shop.dsn, "w1", ""); err == nil {
		t.Error("nobody's answers are erased")
	}
}
