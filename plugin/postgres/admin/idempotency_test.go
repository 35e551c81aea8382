package admin_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func TestCleanIdempotencyKeys_DeletesOnlyOldKeys(t *testing.T) {
	shop := pgtest.OpenShop(t)
	store := shop.Store()
	young := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("young")))
	// More than one slice of the table.
	shop.Exec(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
		SELECT 'w' || i % 3, 'old' || i, '', gen_random_uuid(), to_json(repeat('x', 1000)), now() - interval '7 days 1 minute' FROM generate_series(1, 9000) i`)
	shop.Exec("UPDATE hoko.idempotency_keys SET created_at = now() - interval '7 days' + interval '1 minute' WHERE key LIKE 'old%00'")
	deleted, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge)
	if err != nil || deleted != 8910 {
		t.Errorf("%d are deleted, %v", deleted, err)
	}
	if n := testenv.Value[int](shop.DB, "SELECT count(*) FROM hoko.idempotency_keys"); n != 91 {
		t.Errorf("%d are left, want 91", n)
	}
	if again := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("young"))); !again.Replayed || again.SaleID != young.SaleID {
		t.Errorf("the young key: %+v", again)
	}
}

func TestCleanIdempotencyKeys_RejectsShortAge(t *testing.T) {
	shop := pgtest.OpenShop(t)
	if _, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge-time.Second); err == nil {
		t.Error("younger keys would have been deleted")
	}
}

// An uncommitted clean-up of everything that is old stands in for one that is just under way.
func TestCleanIdempotencyKeys_BlocksNoSale(t *testing.T) {
	shop := pgtest.OpenShop(t)
	store := shop.Store()
	pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("old")))
	shop.Exec("UPDATE hoko.idempotency_keys SET created_at = now() - interval '9 days'")
	pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("young")))
	stranger := shop.Lock("DELETE FROM hoko.idempotency_keys WHERE created_at < now() - interval '8 days'")
	for i, s := range []*sale.Sale{pgtest.Sell("k"), pgtest.Sell("k", pgtest.WithKey("new")), pgtest.Sell("k", pgtest.WithKey("young")), pgtest.Sell("k", pgtest.WithKey("old"))} {
		if got := pgtest.MustRecord(t, store, s); got.Replayed != (i >= 2) {
			t.Errorf("sale %d: replayed %v", i, got.Replayed)
		}
	}
	stranger.Exec("COMMIT")
	if got := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("old"))); got.Replayed {
		t.Error("a replay of a key that is gone")
	}
}

func TestEraseAnswers_RetriesStillReplay(t *testing.T) {
	shop := pgtest.OpenShop(t)
	store := shop.Store()
	person := func(key string, change ...func(*sale.Sale)) *sale.Sale {
		return pgtest.Sell("person", append([]func(*sale.Sale){pgtest.WithKey(key), pgtest.WithName("Lovelace"), pgtest.WithEmail(pgtest.Set("lovelace@example.com")),
			pgtest.WithAvatar(pgtest.Set("https://example.com/lovelace")), pgtest.WithMetadata(`{"note":"Lovelace"}`)}, change...)...)
	}
	first := pgtest.MustRecord(t, store, person("one"))
	pgtest.MustRecord(t, store, person("two"))
	namesake := pgtest.MustRecord(t, store, person("one", pgtest.InWorkspace("w2"), pgtest.ByClick("y1")))
	neighbour := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("three"), pgtest.WithName("Lovelace"), pgtest.WithEmail(pgtest.Set("lovelace@example.com"))))
	for _, want := range []int64{2, 0} {
		if erased, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "person"); err != nil || erased != want {
			t.Errorf("%d answers are erased, %v; want %d", erased, err, want)
		}
	}
	if left := shop.Rows("SELECT response FROM hoko.idempotency_keys WHERE workspace_id = 'w1' AND key IN ('one', 'two')"); strings.Contains(strings.ToLower(left), "lovelace") {
		t.Errorf("left: %s", left)
	}
	before := shop.Sales("true")
	again := pgtest.MustRecord(t, store, person("one"))
	if !again.Replayed || again.SaleID != first.SaleID || again.Link.ID != first.Link.ID {
		t.Errorf("the retry: %+v", again)
	}
	if c := again.Customer; c.ID != first.Customer.ID || c.ExternalID != "person" || c.Name != "" || c.Email != nil || c.Phone != nil || c.Avatar != nil || again.Metadata != nil {
		t.Errorf("the retry is answered %+v with %s", c, again.Metadata)
	}
	for first, retry := range map[*sale.Recorded]*sale.Sale{
		namesake:  person("one", pgtest.InWorkspace("w2"), pgtest.ByClick("y1")),
		neighbour: pgtest.Sell("k", pgtest.WithKey("three"), pgtest.WithName("Lovelace"), pgtest.WithEmail(pgtest.Set("lovelace@example.com"))),
	} {
		got := pgtest.MustRecord(t, store, retry)
		if a, b := sale.AppendResponse(nil, first), sale.AppendResponse(nil, got); !bytes.Equal(a, b) {
			t.Errorf("another's answer was\n%s\nand is\n%s", a, b)
		}
	}
	if n := shop.Sales("true"); n != before {
		t.Errorf("%d sales after the retries, want %d", n, before)
	}
}

func TestEraseAnswers_WaitsForOpenSales(t *testing.T) {
	shop := pgtest.OpenShop(t)
	pgtest.MustRecord(t, shop.Store(), pgtest.Sell("person", pgtest.WithKey("one"), pgtest.WithName("Lovelace")))
	stranger := shop.Lock(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
		SELECT workspace_id, 'two', fingerprint, gen_random_uuid(), response FROM hoko.idempotency_keys`)
	erased := make(chan int64)
	go func() {
		defer close(erased)
		n, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "person")
		if err != nil {
			t.Error(err)
		}
		erased <- n
	}()
	testenv.Until(t, "it asks whether the sale is still open", func() bool {
		return testenv.Value[int](shop.DB, "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT EXISTS \\(SELECT FROM pg_locks' AND datname = current_database()") == 1
	})
	stranger.Exec("COMMIT")
	if n := <-erased; n != 2 {
		t.Errorf("%d answers are erased, want 2", n)
	}
}

func TestIdempotencyKeys_PartitionedTableFails(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec("ALTER TABLE hoko.idempotency_keys RENAME TO part")
	shop.Exec("CREATE TABLE hoko.idempotency_keys (LIKE hoko.part) PARTITION BY LIST (workspace_id)")
	if _, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge); err == nil || !strings.Contains(err.Error(), "not an ordinary table") {
		t.Errorf("error %v", err)
	}
	if _, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "person"); err == nil || !strings.Contains(err.Error(), "not an ordinary table") {
		t.Errorf("error %v", err)
	}
}

func TestEraseAnswers_InvalidArguments(t *testing.T) {
	shop := pgtest.OpenShop(t)
	if _, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "none", "person"); err == nil || !strings.Contains(err.Error(), "w1") {
		t.Errorf("error %v", err)
	}
	if _, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", ""); err == nil {
		t.Error("nobody's answers are erased")
	}
}
