package pgbench_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A customer who is new to the statement, but whom another session is just creating.
func TestCustomerCreatedMeanwhileIsChangedAndKeepsTheRest(t *testing.T) {
	s := openShop(t)
	s.stock(t, catalogue)
	site, err := pgx.Connect(guarded(t), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close(context.Background())
	tx, err := site.Begin(guarded(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(guarded(t), "INSERT INTO hoko.customers (id, workspace_id, external_id, name, email) VALUES ('zoe', 'w1', 'zoe', 'Zed', 'zed@example.com')"); err != nil {
		t.Fatal(err)
	}

	sold := make(chan struct{})
	go func() {
		defer close(sold)
		s.sell(sell("zoe", "Zoe", byClick("c1")))
	}()
	const blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	for give := time.Now().Add(hangGuard); value[int](s, blocked) == 0; runtime.Gosched() {
		if time.Now().After(give) {
			t.Fatal("the sale does not wait for the open INSERT")
		}
	}
	if err := tx.Commit(guarded(t)); err != nil {
		t.Fatal(err)
	}
	<-sold

	if got := value[string](s, "SELECT name || ' ' || email FROM hoko.customers WHERE id = 'zoe'"); got != "Zoe zed@example.com" {
		t.Errorf("the customer is %s", got)
	}
	if n := value[int](s, "SELECT count(*) FROM hoko.sales WHERE customer_id = 'zoe'"); n != 1 {
		t.Errorf("%d sales", n)
	}
}
