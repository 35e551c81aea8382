package sales_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// moments are the points that batches have reached when their server dies.
var moments = []struct {
	name      string
	cut       *pgtest.Cut // what blocks them there; nil: a trigger at the commit
	committed bool
}{
	{"before they reached it", &pgtest.Cut{Before: true, Stall: true}, false},
	{"before it committed them", nil, false},
	{"before it answered them", &pgtest.Cut{Stall: true}, true},
}

func TestServerThatDies_WithBatchesUnderWay(t *testing.T) {
	t.Parallel() // it mostly waits
	server, dsn, db := pgtest.OwnServer(t)
	// This is more than the server buffers, so rows arrive before the commit.
	db.Exec("UPDATE hoko.links SET description = repeat('x', 10000)")
	for _, moment := range moments {
		for death, keys := range map[string]bool{"killed": true, "shut down immediately": false} {
			name := fmt.Sprintf("%s %s, and returns, with idempotency keys: %v", death, moment.name, keys)
			t.Run(name, func(t *testing.T) {
				shop := reopenShop(t, dsn)
				victims := shop.victims(context.Background(), keys)
				shop.send(victims, moment.cut)
				if death == "killed" {
					server.Kill()
				} else {
					shutDown(server)
				}
				server.Start(t)
				shop.DB = testenv.Connect(t, shop.DSN)
				shop.expectAnswers(victims, keys)
			})
		}
		t.Run("killed "+moment.name+", and stays away", func(t *testing.T) {
			shop := reopenShop(t, dsn)
			ctx, deadline := context.WithCancel(context.Background())
			defer deadline()
			victims := shop.victims(ctx, true)
			shop.send(victims, moment.cut)
			server.Kill()
			victims.expectUnknown(t, deadline)
			server.Start(t)
			shop.DB = testenv.Connect(t, shop.DSN)
			shop.expectWhole(victims, moment.committed)
			shop.expectFoundOut(victims, moment.committed)
		})
	}
}

// reopenShop empties the database, except for the catalog entries of earlier tests.
func reopenShop(t *testing.T, dsn string) *shop {
	t.Helper()
	s := &shop{&pgtest.Shop{DB: testenv.Connect(t, dsn), DSN: dsn}}
	s.Exec("TRUNCATE hoko.customers, hoko.sales, hoko.idempotency_keys; DROP FUNCTION IF EXISTS public.linger CASCADE")
	return s
}

// shutDown is Postgres's immediate shutdown: a crash that notifies its clients.
func shutDown(server *testenv.OwnPostgres) {
	_ = syscall.Kill(server.PID(), syscall.SIGQUIT)
	<-server.Done()
}

// victim is an edge with one batch for a server that dies. Its sales alternate between a known
// customer, which they change, and new ones.
type victim struct {
	edge
	wire     *pgtest.Wire
	size     int
	sales    []*sale.Sale
	outcomes []<-chan outcome
	late     <-chan outcome // a sale that arrives while the batch is under way
}

type victims []*victim

// victims returns edges with batches of all sizes, which wait for send. Their callers wait until
// ctx ends.
func (s *shop) victims(ctx context.Context, keys bool) (all victims) {
	s.T.Helper()
	for _, size := range []int{1, 2, 3, 16, 64, 128} {
		v := &victim{wire: pgtest.Tap(s.T, s.DSN), size: size}
		onWire := &shop{&pgtest.Shop{DB: s.DB, DSN: v.wire.DSN}}
		v.edge = onWire.edge(oneWriter)
		s.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name, email, avatar)
			VALUES ('w1', $1, 'before', 'before', 'before')`, v.known())
		for i := range size {
			name := fmt.Sprint("sale", i)
			if size == 1 && !keys {
				name = "before" // a single sale that changes nothing has a separate statement
			}
			customer := v.known()
			as := []func(*sale.Sale){costing(int64(i)), named(name), mailing(set(name)), pictured(set(name))}
			if i%2 == 1 {
				customer = fmt.Sprint("new", size, "-", i)
			}
			if keys {
				as = append(as, keyed(fmt.Sprint(size, "-", i)))
			}
			v.sales = append(v.sales, sell(customer, as...))
		}
		for _, one := range v.sales {
			before := v.Stats().Queued
			v.outcomes = append(v.outcomes, beginUntil(ctx, v.Store, one))
			until(s.T, "the sale is in the queue", func() bool { return v.Stats().Queued > before })
		}
		all = append(all, v)
	}
	return all
}

func beginUntil(ctx context.Context, store *sales.Store, s *sale.Sale) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		recorded, err := store.Record(ctx, s)
		done <- outcome{recorded, err}
	}()
	return done
}

func (v *victim) known() string { return fmt.Sprint("known", v.size) }

func (all victims) sales() (n int) {
	for _, v := range all {
		n += v.size
	}
	return n
}

func (all victims) customers() (n int) {
	for _, v := range all {
		n += 1 + v.size/2
	}
	return n
}

// lingering blocks a batch at its commit, with all rows written, if the server began at this time.
const lingering = `
CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF pg_postmaster_start_time() = '%s' THEN PERFORM pg_sleep(30); END IF;
		RETURN NULL;
	END $$;
CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON hoko.sales DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (NEW.amount = 0) EXECUTE FUNCTION public.linger();
`

// send returns when all batches have reached their cut, with one more sale waiting behind each.
// They are sent one by one, so that none waits for another's page lock and has to start again.
func (s *shop) send(all victims, at *pgtest.Cut) {
	s.T.Helper()
	if at == nil {
		s.Exec(fmt.Sprintf(lingering, testenv.Value[string](s.DB, "SELECT pg_postmaster_start_time()::text")))
	}
	for i, v := range all {
		if at != nil {
			reached := v.wire.Next(*at)
			v.wire.Resume()
			<-reached
		} else {
			v.wire.Resume()
			until(s.T, "it lingers", func() bool {
				return testenv.Value[int](s.DB,
					"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "+edges) == i+1
			})
		}
		if n, sales := statements(s.T, v.metrics); n != 1 || sales != float64(v.size) {
			s.T.Fatalf("%v sales in %d statements are under way, want %d in 1", sales, n, v.size)
		}
		v.late = queue(s.T, v.Store, sell(fmt.Sprint("late", v.size)))[0]
	}
}

// expectAnswers checks that all sales are recorded as answered, and that a replay has the same
// answer.
func (s *shop) expectAnswers(all victims, keys bool) {
	s.T.Helper()
	var sold, late []outcome
	for _, v := range all {
		for i, one := range v.sales {
			got := wait(s.T, v.outcomes[i])
			if got.err != nil || got.SaleID != one.ID || got.Replayed {
				s.T.Fatalf("sale %d of %d: %+v", i, v.size, got)
			}
			sold = append(sold, got)
		}
		if got := wait(s.T, v.late); got.err == nil { // sent after the server was back
			late = append(late, got)
		} else if !errors.Is(got.err, sale.ErrNotRecorded) {
			s.T.Errorf("never sent: %v", got.err)
		}
	}
	expectStored := func() {
		s.T.Helper()
		s.expectSold(append(late, sold...), all.sales()+len(late), all.customers()+len(late))
		s.expectWhole(all, true)
	}
	expectStored()
	rest := sold
	for _, v := range all {
		var again []<-chan outcome
		for _, one := range v.sales {
			if keys {
				one = duplicateOf(one)
			}
			again = append(again, begin(s.T, v.Store, one))
		}
		for i, before := range rest[:v.size] {
			got := wait(s.T, again[i])
			if got.err != nil || got.SaleID != before.SaleID {
				s.T.Errorf("sale %d of %d, asked again: %+v", i, v.size, got)
				continue
			}
			a, b := sale.AppendResponse(nil, before.Recorded), sale.AppendResponse(nil, got.Recorded)
			if !bytes.Equal(a, b) {
				s.T.Errorf("answered\n%s\nand then\n%s", a, b)
			}
		}
		rest = rest[v.size:]
	}
	expectStored()
}

func (all victims) expectUnknown(t *testing.T, deadline func()) {
	t.Helper()
	for _, v := range all { // its answer also shows that the edge has no server
		if got := wait(t, v.late); !errors.Is(got.err, sale.ErrNotRecorded) || isUnknown(got.err) {
			t.Errorf("never sent: %v, want not recorded", got.err)
		}
	}
	deadline()
	for _, v := range all {
		for _, o := range v.outcomes {
			expectUnknown(t, wait(t, o))
		}
	}
}

func (s *shop) expectFoundOut(all victims, recorded bool) {
	s.T.Helper()
	var sold []outcome
	for _, v := range all {
		for i, one := range v.sales {
			got := mustRecord(s.T, v.Store, duplicateOf(one))
			if got.Replayed != recorded || (got.SaleID == one.ID) != recorded {
				s.T.Errorf("sale %d of %d, asked again: %+v", i, v.size, got)
			}
			sold = append(sold, outcome{got, nil})
		}
	}
	s.expectSold(sold, all.sales(), all.customers())
	s.expectWhole(all, true)
}

// expectWhole checks that each batch is recorded completely or not at all.
func (s *shop) expectWhole(all victims, recorded bool) {
	s.T.Helper()
	for _, v := range all {
		name, want := "before", 0
		if recorded {
			name, want = v.sales[(v.size-1)/2*2].Request.CustomerName, (v.size+1)/2
		}
		stored := s.Rows(`SELECT name, email, avatar, (SELECT count(*) FROM hoko.sales WHERE customer_id = c.id)
			FROM hoko.customers c WHERE external_id = $1`, v.known())
		if want := fmt.Sprintf("(%s,%s,%s,%d)", name, name, name, want); stored != want {
			s.T.Errorf("batch of %d: stored %s, want %s", v.size, stored, want)
		}
	}
}

func duplicateOf(s *sale.Sale) *sale.Sale {
	duplicate := *s
	duplicate.ID = uuid.Must(uuid.NewV7())
	return &duplicate
}
