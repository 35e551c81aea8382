package admin_test

import (
	"bytes"
	"errors"
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
		SELECT 'w' || i % 3, 'old' || i, '', gen_random_uuid(), to_json(repeat('x', 1000)),
			now() - interval '7 days 1 minute' FROM generate_series(1, 9000) i`)
	shop.Exec(`UPDATE hoko.idempotency_keys SET created_at = now() - interval '7 days' + interval '1 minute'
		WHERE key LIKE 'old%00'`)
	deleted, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge)
	if err != nil || deleted != 8910 {
		t.Errorf("deleted %d, want 8910: %v", deleted, err)
	}
	if n := shop.Count("SELECT count(*) FROM hoko.idempotency_keys"); n != 91 {
		t.Errorf("%d are left, want 91", n)
	}
	retry := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("young")))
	if !retry.Replayed || retry.SaleID != young.SaleID {
		t.Errorf("retry with a young key: %+v", retry)
	}
}

func TestCleanIdempotencyKeys_LastUses(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec(`INSERT INTO hoko.api_keys (id, workspace_id, key_hash) VALUES ('kept', 'w1', sha256('x'));
		INSERT INTO hoko.key_usage VALUES ('kept', now()), ('deleted', now());
		ALTER TABLE hoko.api_keys RENAME TO tokens;
		CREATE VIEW hoko.api_keys AS SELECT id COLLATE "POSIX" AS id FROM hoko.tokens`)
	clean := func() {
		t.Helper()
		_, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge)
		testenv.NoError(t, err)
	}
	clean()
	if left := shop.Rows("SELECT key_id FROM hoko.key_usage"); left != "(kept)" {
		t.Errorf("left: %s", left)
	}
	shop.Exec("DROP TABLE hoko.key_usage") // as in an older schema
	clean()
}

func TestCleanIdempotencyKeys_RejectsShortAge(t *testing.T) {
	shop := pgtest.OpenShop(t)
	_, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge-time.Second)
	pgtest.WantError(t, err, "too short")
}

// An open transaction stands in for a running cleanup.
func TestCleanIdempotencyKeys_BlocksNoSale(t *testing.T) {
	shop := pgtest.OpenShop(t)
	store := shop.Store()
	pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("old")))
	shop.Exec("UPDATE hoko.idempotency_keys SET created_at = now() - interval '9 days'")
	pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("young")))
	cleanUp := shop.Lock("DELETE FROM hoko.idempotency_keys WHERE created_at < now() - interval '8 days'")
	for key, replayed := range map[string]bool{"": false, "new": false, "young": true, "old": true} {
		if got := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey(key))); got.Replayed != replayed {
			t.Errorf("key %q: replayed %v", key, got.Replayed)
		}
	}
	cleanUp.Exec("COMMIT")
	if got := pgtest.MustRecord(t, store, pgtest.Sell("k", pgtest.WithKey("old"))); got.Replayed {
		t.Error("a deleted key is replayed")
	}
}

// A cleanup that ends halfway is no cleanup, but what it has deleted stays deleted.
func TestCleanIdempotencyKeys_RecordsOnlyACompleteOne(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec(`CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'failed'; END $$;
		CREATE TRIGGER fail BEFORE DELETE ON hoko.idempotency_keys FOR EACH ROW WHEN (OLD.key = 'old9000')
			EXECUTE FUNCTION public.fail()`)
	clean := func() (deleted int64, recorded bool, err error) {
		t.Helper()
		shop.Exec("TRUNCATE hoko.idempotency_keys")
		shop.Exec(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response, created_at)
			SELECT 'w1', 'old' || i, '', gen_random_uuid(), to_json(repeat('x', 1000)), now() - interval '9 days'
			FROM generate_series(1, 9000) i`) // more than one slice of the table
		before := shop.Rows("SELECT * FROM hoko.maintenance")
		deleted, err = admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge)
		return deleted, shop.Rows("SELECT * FROM hoko.maintenance") != before, err
	}
	deleted, recorded, err := clean()
	pgtest.WantError(t, err, "delete idempotency keys: ERROR: failed")
	if recorded || deleted == 0 || deleted == 9000 || errors.Is(err, admin.ErrNotRecorded) {
		t.Errorf("deleted %d, recorded %v: %v", deleted, recorded, err)
	}
	shop.Exec("DROP TRIGGER fail ON hoko.idempotency_keys")
	for range 2 {
		if deleted, recorded, err := clean(); err != nil || !recorded || deleted != 9000 {
			t.Errorf("deleted %d, recorded %v: %v", deleted, recorded, err)
		}
	}
	shop.Exec(`CREATE TRIGGER fail BEFORE UPDATE ON hoko.maintenance FOR EACH ROW EXECUTE FUNCTION public.fail()`)
	if deleted, recorded, err := clean(); !errors.Is(err, admin.ErrNotRecorded) || recorded || deleted != 9000 {
		t.Errorf("deleted %d, recorded %v: %v", deleted, recorded, err)
	}
}

func TestEraseAnswers_RetriesStillReplay(t *testing.T) {
	shop := pgtest.OpenShop(t)
	store := shop.Store()
	sellTo := func(customer, key string, more ...pgtest.Change) *sale.Sale {
		return pgtest.Sell(customer, append(more, pgtest.WithKey(key), pgtest.WithName("Lovelace"),
			pgtest.WithEmail(pgtest.Set("lovelace@example.com")), pgtest.WithMetadata(`{"note":"Lovelace"}`),
			pgtest.WithAvatar(pgtest.Set("https://example.com/lovelace")))...)
	}
	others := []*sale.Sale{
		sellTo("person", "one", pgtest.InWorkspace("w2"), pgtest.ByClick("y1")), sellTo("k", "three"),
	}
	first := pgtest.MustRecord(t, store, sellTo("person", "one"))
	pgtest.MustRecord(t, store, sellTo("person", "two"))
	var answers []*sale.Recorded
	for _, s := range others {
		answers = append(answers, pgtest.MustRecord(t, store, s))
	}
	for _, want := range []int64{2, 0} {
		erased, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "person")
		if err != nil || erased != want {
			t.Errorf("%d answers are erased, %v; want %d", erased, err, want)
		}
	}
	left := shop.Rows("SELECT response FROM hoko.idempotency_keys WHERE workspace_id = 'w1' AND key IN ('one', 'two')")
	if strings.Contains(strings.ToLower(left), "lovelace") {
		t.Errorf("left: %s", left)
	}
	before := shop.Sales("true")
	retry := pgtest.MustRecord(t, store, sellTo("person", "one"))
	if !retry.Replayed || retry.SaleID != first.SaleID || retry.Link.ID != first.Link.ID || retry.Metadata != nil {
		t.Errorf("retry: %+v", retry)
	}
	if c := retry.Customer; c.ID != first.Customer.ID || c.ExternalID != "person" || c.Name != "" ||
		c.Email != nil || c.Phone != nil || c.Avatar != nil {
		t.Errorf("retry: customer %+v", c)
	}
	for i, s := range others {
		want := sale.AppendResponse(nil, answers[i])
		if got := sale.AppendResponse(nil, pgtest.MustRecord(t, store, s)); !bytes.Equal(got, want) {
			t.Errorf("the answer to another customer was\n%s\nand is\n%s", want, got)
		}
	}
	if n := shop.Sales("true"); n != before {
		t.Errorf("%d sales after the retries, want %d", n, before)
	}
}

func TestEraseAnswers_WaitsForOpenSales(t *testing.T) {
	shop := pgtest.OpenShop(t)
	pgtest.MustRecord(t, shop.Store(), pgtest.Sell("person", pgtest.WithKey("one"), pgtest.WithName("Lovelace")))
	openSale := shop.Lock(`INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
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
	testenv.Until(t, "the erasure waits", func() bool {
		return shop.Count(`SELECT count(*) FROM pg_stat_activity
			WHERE query ~ '^SELECT EXISTS \(SELECT FROM pg_locks' AND datname = current_database()`) == 1
	})
	openSale.Exec("COMMIT")
	if n := <-erased; n != 2 {
		t.Errorf("%d answers are erased, want 2", n)
	}
}

func TestIdempotencyKeys_PartitionedTableFails(t *testing.T) {
	shop := pgtest.OpenShop(t)
	shop.Exec("ALTER TABLE hoko.idempotency_keys RENAME TO part")
	shop.Exec("CREATE TABLE hoko.idempotency_keys (LIKE hoko.part) PARTITION BY LIST (workspace_id)")
	_, err := admin.CleanIdempotencyKeys(testenv.Guarded(t), shop.DSN, admin.MinKeyAge)
	pgtest.WantError(t, err, "not an ordinary table")
	_, err = admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "person")
	pgtest.WantError(t, err, "not an ordinary table")
}

func TestEraseAnswers_InvalidArguments(t *testing.T) {
	shop := pgtest.OpenShop(t)
	_, err := admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "none", "person")
	pgtest.WantError(t, err, "w1")
	_, err = admin.EraseAnswers(testenv.Guarded(t), shop.DSN, "w1", "")
	pgtest.WantError(t, err, "name the workspace and the customer's external ID")
}
