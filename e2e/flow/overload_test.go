package flow

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

func TestOverload_KeepsThroughput(t *testing.T) {
	settings := choose("batch 16\ntimeout 3s", "timeout 10s")
	commit := choose(400*time.Millisecond, 1600*time.Millisecond)
	clients := choose(128, 1024)
	s := openShop(t, 1, settings)
	s.commitsTake(commit)

	atCapacity := s.load()
	atCapacity.keepBusy(clients, s.ofAll)
	atCapacity.measure(4 * commit)
	capacity := atCapacity.measure(10 * commit)
	atCapacity.end()
	t.Logf("capacity: %v", capacity)
	perSecond := int(capacity.rate())
	if perSecond == 0 {
		t.Fatal("no sale is recorded")
	}

	next := func(n int) []request { return []request{s.ofAll(n%1000, n)} }
	rows := s.db.Sales()
	over := s.load()
	began := time.Now()
	during := choose(12*time.Second, 30*time.Second)
	over.arrive(2*perSecond, during, next)
	stopped := time.Now()
	after := s.load()
	<-time.After(2 * time.Second)
	after.arrive(perSecond/2, choose(4*time.Second, 12*time.Second), next)
	after.end()
	over.end()

	steady := over.between(began.Add(choose(3*time.Second, 5*time.Second)), stopped)
	wantAtLeast(t, "at twice the capacity", steady, capacity, 0.85)
	all := over.between(began, time.Now())
	t.Logf("the whole overload: %v", all)
	if late := all.statuses[504] + all.statuses[0]; late*100 > all.all() {
		t.Errorf("%d of %d are 504 or have no answer", late, all.all())
	}
	if all.statuses[503] == 0 {
		t.Error("no sale was shed")
	}
	relaxed := after.between(stopped, time.Now())
	if relaxed.statuses[201] != relaxed.all() {
		t.Errorf("at half the capacity, from 2 s after the overload: %v", relaxed)
	}
	recorded, answered := s.db.Sales()-rows, all.statuses[201]+relaxed.statuses[201]
	if float64(recorded) > 1.02*float64(answered) {
		t.Errorf("%d rows, and %d were answered 201", recorded, answered)
	}
	over.wantRetryAfter(t)
	shed := 0
	for _, reason := range []string{"wait", "late", "queue", "share", "customer"} {
		shed += int(s.edges[0].Metric(t, fmt.Sprintf("hoko_sale_shed_total{reason=%q}", reason)))
	}
	if answered := all.statuses[503] + relaxed.statuses[503]; shed != answered {
		t.Errorf("the metrics count %d sheds, and %d sales were answered 503", shed, answered)
	}
}

// wantRetryAfter checks that the 503s carry a valid Retry-After with jitter.
func (l *load) wantRetryAfter(t *testing.T) {
	t.Helper()
	said := map[string]int{}
	for _, a := range l.answers {
		if a.status != 503 {
			continue
		}
		said[a.retry]++
		if n, err := strconv.Atoi(a.retry); err != nil || n < 1 || n > 30 {
			t.Fatalf("Retry-After: %q", a.retry)
		}
	}
	if len(said) < 2 {
		t.Errorf("all 503s have the same Retry-After: %v", said)
	}
}

func TestOverload_OfOneWorkspaceSparesOthers(t *testing.T) {
	s := openShop(t, 1, choose("batch 8\nqueue 256\ntimeout 4s", "batch 16\nqueue 1024\ntimeout 10s"))
	s.commitsTake(400 * time.Millisecond)
	others := s.load()
	others.keepBusy(2*(workspaces-1), s.ofAll)
	others.measure(2 * time.Second)
	before := others.measure(4 * time.Second)
	greedy := s.load()
	greedy.group.Go(func() {
		greedy.arrive(int(100*before.rate()/(workspaces-1)), time.Hour, func(n int) []request {
			return []request{{workspace: workspace(0), customer: fmt.Sprint(n % 1000), name: "Ada"}}
		})
	})
	others.measure(2 * time.Second)
	beside := others.measure(4 * time.Second)
	greedy.end()
	others.end()
	wantAtLeast(t, "next to a workspace that sends a hundred times as much", beside, before, 0.7)
	if n := beside.all() - beside.statuses[201]; n > 0 {
		t.Errorf("%d sales of the others were not recorded: %v", n, beside)
	}
	if shed := greedy.between(time.Time{}, time.Now()).statuses[503]; shed == 0 {
		t.Error("no sale of the greedy workspace was shed")
	}
}
