package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestAReloadOfTheSameSettingsKeepsCachesAndConnections(t *testing.T) {
	s := startStack(t, nil)
	c := s.client(t, "HTTP/2.0")
	poll(t, "the edge listens", func() bool { return strings.Contains(string(s.adminGet(t, "/hoko/")), `"listening":true`) })
	first := s.sell(t, c, validSale)
	wantAnswer(t, first, 201, publishedOK)
	const connections = "SELECT array_agg(pid ORDER BY pid)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	before, pids := s.backends(t), s.db.text(connections)
	s.reload(t)
	wantAnswer(t, s.sell(t, s.client(t, "HTTP/2.0"), validSale), 201, publishedOK)
	after := s.backends(t)
	if len(before) != 1 || len(after) != 1 || !after[0].Since.Equal(before[0].Since) {
		t.Errorf("backends %v became %v", before, after)
	}
	if now := s.db.text(connections); now != pids {
		t.Errorf("connections %s became %s", pids, now)
	}
	if metrics := string(s.adminGet(t, "/metrics")); !strings.Contains(metrics, `hoko_sales_total{outcome="recorded"} 2`) {
		t.Error("the counter of sales began anew")
	}
}

func TestSIGTERMAnswersTheSaleThatWasAccepted(t *testing.T) {
	s := startStack(t, nil)
	c := s.client(t, "HTTP/2.0")
	lock, err := pgx.Connect(t.Context(), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close(t.Context())
	if _, err := lock.Exec(t.Context(), "BEGIN; SELECT FROM hoko.customers WHERE id = 'customer_123' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	sold := make(chan answer, 1)
	go func() { sold <- s.sell(t, c, strings.Replace(validSale, "John Doe", "Jane Doe", 1)) }()
	for guard := time.Now().Add(hangGuard); s.backends(t)[0].Sales.SlowCustomers == 0; { // until the sale waits for its customer
		if time.Now().After(guard) {
			t.Fatal("the sale does not wait for its customer")
		}
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.log.wait(t, s.ended, "servers shutting down")
	if _, err := lock.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, <-sold, 201, strings.Replace(publishedOK, "John Doe", "Jane Doe", 1))
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
