package reload

import (
	"strings"
	"syscall"
	"testing"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestReload_SameSettingsKeepCachesAndConnections(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	testenv.Until(t, "the edge listens",
		func() bool { return strings.Contains(s.AdminGet(t, "/hoko/"), `"listening":true`) })
	first := s.Sell(t, c, harness.ValidSale)
	harness.WantAnswer(t, first, 201, harness.PublishedOK)
	const connections = `SELECT array_agg(pid)::text FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`
	before, pids := s.Backends(t), s.DB.Text(connections)
	s.Reload(t)
	harness.WantAnswer(t, s.Sell(t, s.Client(t, "HTTP/2.0"), harness.ValidSale), 201, harness.PublishedOK)
	after := s.Backends(t)
	if len(before) != 1 || len(after) != 1 || !after[0].Since.Equal(before[0].Since) {
		t.Errorf("backends %v before, %v after", before, after)
	}
	// A pool may open more at any time, such as for a heartbeat during a lookup.
	const closed = `SELECT count(*) FROM unnest($1::text::int[]) AS before
		WHERE before NOT IN (SELECT pid FROM pg_stat_activity)`
	if n := s.DB.Count(closed, pids); n > 0 {
		t.Errorf("%d of the connections %s were closed, now there are %s", n, pids, s.DB.Text(connections))
	}
	if metrics := s.AdminGet(t, "/metrics"); !strings.Contains(metrics, `hoko_sales_total{outcome="recorded"} 2`) {
		t.Error("the counter of sales restarted at 0")
	}
}

func TestSIGTERM_AnswersAcceptedSale(t *testing.T) {
	s, c := harness.StartStackAndClient(t, "HTTP/2.0", nil)
	lock := harness.Connect(t, s.DSN)
	lock.Exec("BEGIN; SELECT FROM hoko.customers WHERE id = 'customer_123' FOR UPDATE")
	sold := make(chan harness.Answer, 1)
	go func() { sold <- s.Sell(t, c, strings.Replace(harness.ValidSale, "John Doe", "Jane Doe", 1)) }()
	testenv.Until(t, "the sale waits for its customer", func() bool { return s.Backends(t)[0].Sales.SlowCustomers > 0 })
	s.Signal(syscall.SIGTERM)
	s.Log.Wait(t, "servers shutting down")
	lock.Exec("COMMIT")
	harness.WantAnswer(t, <-sold, 201, strings.Replace(harness.PublishedOK, "John Doe", "Jane Doe", 1))
	if code := s.AwaitEnd(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
