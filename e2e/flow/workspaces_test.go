package flow

import (
	"fmt"
	"testing"
	"time"

	"hoko.to/edge/internal/testenv"
)

// Two edges, the slow commits of a distant standby, and one workspace whose requests block each
// other's statements ten times per second.
func TestOffendingWorkspace_CostsOthersLittle(t *testing.T) {
	for _, offense := range []struct {
		name    string
		prepare func(*shop)
		send    func(n int) []request
	}{
		{"the same Idempotency-Key to two edges", nil, func(n int) []request {
			r := request{workspace: workspace(0), customer: "twin", name: "Ada", key: fmt.Sprint("key ", n)}
			other := r
			other.edge = 1
			return []request{r, other}
		}},
		{"the same new customer to two edges", nil, func(n int) []request {
			r := request{workspace: workspace(0), customer: fmt.Sprint("new ", n), name: "Ada"}
			other := r
			other.edge = 1
			return []request{r, other}
		}},
		{"a link that is locked under a foreign key", (*shop).lockLink, func(n int) []request {
			return []request{{edge: n % 2, workspace: workspace(0), customer: fmt.Sprint("c", n%10), name: "Ada"}}
		}},
	} {
		t.Run(offense.name, func(t *testing.T) {
			s := openShop(t, 2, "timeout 10s")
			s.commitsTake(60 * time.Millisecond)
			if offense.prepare != nil {
				offense.prepare(s)
			}
			others := s.load()
			others.keepBusy(choose(32, 256), func(client, n int) request {
				r := s.ofAll(client, n)
				r.key = fmt.Sprint(client, "-", n)
				return r
			})
			others.measure(2 * time.Second)
			without := others.measure(choose(4*time.Second, 10*time.Second))
			offender := s.load()
			offender.group.Go(func() { offender.arrive(10, time.Hour, offense.send) })
			others.measure(2 * time.Second)
			with := others.measure(choose(4*time.Second, 10*time.Second))
			others.end()
			wantAtLeast(t, "next to the offender", with, without, 0.85)
			if with.p99() > 2*without.p99() {
				t.Errorf("the p99 of the others is %v, and was %v without the offender", with.p99(), without.p99())
			}
			if n := with.all() - with.statuses[201]; n > 0 {
				t.Errorf("%d sales of the others were not recorded: %v", n, with)
			}
		})
	}
}

// lockLink locks the offender's link, for which sales wait because of the site's foreign key.
func (s *shop) lockLink() {
	s.db.Exec("ALTER TABLE hoko.sales ADD FOREIGN KEY (link_id) REFERENCES hoko.links")
	s.db.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name) SELECT $1, 'c' || i, 'Ada'
		FROM generate_series(0, 9) i`, workspace(0))
	other := testenv.Connect(s.t, s.dsn)
	other.Exec("BEGIN")
	other.Exec("SELECT FROM hoko.links WHERE workspace_id = $1 FOR UPDATE", workspace(0))
}

// The site's migration locks the table before the edge's sessions have connected.
func TestLockedTable_DelaysSalesOfNewConnections(t *testing.T) {
	s := openShop(t, 1, "timeout 10s")
	other := testenv.Connect(t, s.dsn)
	other.Exec("BEGIN")
	other.Exec("CREATE INDEX ON hoko.sales (amount)")
	l := s.load()
	for client := range 50 {
		l.group.Go(func() { l.send(s.ofAll(client, 0)) })
	}
	<-time.After(6 * time.Second) // longer than the edge waits for the first answers of a new connection
	if early := l.between(time.Time{}, time.Now()); early.all() > 0 {
		t.Errorf("answered while the table is locked: %v", early)
	}
	other.Exec("COMMIT")
	l.group.Wait()
	if all := l.between(time.Time{}, time.Now()); all.statuses[201] != 50 {
		t.Errorf("want 50 sales: %v", all)
	}
}

// Only one batch at a time may hold the customer, so each must hold all waiting sales.
func TestHotCustomer_IsFolded(t *testing.T) {
	s := openShop(t, 1, "timeout 10s")
	l := s.load()
	l.keepBusy(choose(64, 256), func(client, n int) request {
		return request{workspace: workspace(1), customer: "hot", name: fmt.Sprint("name ", client, " ", n)}
	})
	l.measure(time.Second)
	hot := l.measure(3 * time.Second)
	l.end()
	t.Logf("one hot customer: %v", hot)
	batches := s.edges[0].Metric(t, "hoko_sale_batch_size_count")
	if sales := s.edges[0].Metric(t, "hoko_sale_batch_size_sum"); sales < 4*batches {
		t.Errorf("%v sales in %v statements: they were not folded", sales, batches)
	}
	s.wantNoDuplicates(l)
}
