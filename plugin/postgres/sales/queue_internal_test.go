package sales

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

// fixture is a queue without running writers.
type fixture struct {
	*queue
	t testing.TB
}

func newFixture(t testing.TB, change func(*postgres.Options)) *fixture {
	t.Helper()
	o := postgres.Options{DSN: "none", Writers: 2, Batch: 4, Queue: 16}
	if change != nil {
		change(&o)
	}
	o, err := o.WithDefaults()
	testenv.NoError(t, err)
	b := &fixture{newQueue(&shared{options: o, metrics: newMetrics(nil), ctx: t.Context()}), t}
	t.Cleanup(b.check)
	return b
}

func (b *fixture) check() {
	b.t.Helper()
	waiting, ready := 0, 0
	for id, ws := range b.workspaces {
		waiting += ws.all.length
		lines, mine := 0, 0
		for _, l := range b.lines {
			if l.workspace == ws {
				lines++
				if l.slot == nil {
					mine += l.waiting.length
				}
			}
		}
		if lines != ws.customers || mine != ws.ready {
			b.t.Errorf("%s: %d lines with %d ready sales, counted %d and %d", id, lines, mine, ws.customers, ws.ready)
		}
		if !ws.isolated {
			ready += mine
		}
	}
	if waiting != b.waiting || ready != b.ready {
		b.t.Errorf("%d sales wait, %d of them ready, counted %d and %d", waiting, ready, b.waiting, b.ready)
	}
}

// push adds sales named workspace/customer or workspace/customer/key, and returns the last one.
func (b *fixture) push(names ...string) (p *pendingSale) {
	b.t.Helper()
	for _, name := range names {
		var shed error
		if p, shed = b.try(name); shed != nil {
			b.t.Fatalf("%s is shed: %v", name, shed)
		}
	}
	return p
}

// lose marks sales as sent, with an unknown outcome.
func lose(sales ...*pendingSale) {
	for _, p := range sales {
		p.claim(time.Now())
		p.lose()
	}
}

func (b *fixture) try(name string) (*pendingSale, error) {
	b.t.Helper()
	part := strings.SplitN(name, "/", 3)
	s := &sale.Sale{ID: uuid.New(), WorkspaceID: part[0],
		Request: &sale.Request{CustomerExternalID: part[1], CustomerName: name}}
	if len(part) == 3 {
		s.IdempotencyKey = part[2]
	}
	p := newPendingSale(s, time.Now().Add(10*time.Second))
	return p, b.queue.push(p)
}

func (b *fixture) take(slot int) []*pendingSale {
	b.t.Helper()
	b.check()
	s := b.slots[slot]
	b.mu.Lock()
	assigned := b.assign(s, time.Now())
	b.mu.Unlock()
	if !assigned {
		return nil
	}
	batch, _ := b.queue.take(s)
	b.check()
	return slices.Clone(batch)
}

// finish answers the batch, except for the sales in again.
func (b *fixture) finish(slot int, again ...*pendingSale) {
	b.t.Helper()
	s := b.slots[slot]
	for _, p := range s.sales {
		if !slices.Contains(again, p) {
			p.answer(new(sale.Recorded), nil)
		}
	}
	b.queue.finish(s, again, nil, nil, true)
	b.check()
}

func names(batch []*pendingSale) string {
	var all []string
	for _, p := range batch {
		all = append(all, p.Request.CustomerName)
	}
	return strings.Join(all, " ")
}

func (b *fixture) want(slot int, want string) []*pendingSale {
	b.t.Helper()
	batch := b.take(slot)
	if got := names(batch); got != want {
		b.t.Errorf("the batch is %q, want %q", got, want)
	}
	return batch
}

func (b *fixture) serve(slot int, want string) {
	b.t.Helper()
	b.want(slot, want)
	b.finish(slot)
}

func TestQueue_WorkspacesTakeTurns(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/1", "w/2", "w/3", "w/4", "x/1", "y/1")
	b.serve(0, "w/1 x/1 y/1 w/2")
	b.serve(0, "w/3 w/4")
	if len(b.workspaces)+len(b.lines) > 0 {
		t.Errorf("%d workspaces and %d lines are kept", len(b.workspaces), len(b.lines))
	}
}

func TestQueue_CustomerIsInOneBatchAtATimeInItsOrder(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Batch = 2 })
	b.push("w/c", "w/c", "w/c", "w/c", "w/d", "w/c")
	first := b.want(0, "w/c w/d")
	b.push("w/c")
	if batch := b.take(1); batch != nil {
		t.Errorf("%s beside another batch of the customer", names(batch))
	}
	b.finish(0, first[0])
	second := b.want(0, "w/c w/c")
	if second[0] != first[0] {
		t.Error("the sale that went again is not the first")
	}
	b.finish(0)
	b.serve(0, "w/c w/c")
	b.serve(0, "w/c w/c")
}

func TestQueue_SalesOfOneKeyRunOneAfterTheOther(t *testing.T) {
	b := newFixture(t, nil)
	first := b.push("w/c/key")
	second, third := b.push("w/d/key"), b.push("w/c/key")
	b.push("w/c/other", "x/c/key")
	b.want(0, "w/c/key x/c/key w/c/other")
	b.finish(0, first)
	if batch := b.want(0, "w/c/key"); batch[0] != first {
		t.Error("a duplicate overtook its first")
	}
	b.finish(0)
	if batch := b.want(0, "w/d/key"); batch[0] != second {
		t.Error("a duplicate overtook another")
	}
	b.finish(0)
	if batch := b.want(0, "w/c/key"); batch[0] != third {
		t.Error("the last duplicate is lost")
	}
	b.finish(0)
	if len(b.keys) > 0 {
		t.Errorf("%d keys are kept", len(b.keys))
	}
}

func TestQueue_CallerThatLeavesMakesRoom(t *testing.T) {
	b := newFixture(t, nil)
	sales := []*pendingSale{b.push("w/c/key"), b.push("w/c/key"), b.push("w/d"), b.push("x/c")}
	left, leave := context.WithCancel(t.Context())
	leave()
	for _, i := range []int{0, 2, 3} {
		if _, err, gone := sales[i].wait(left, t.Context()); !gone || !errors.Is(err, sale.ErrNotRecorded) {
			t.Errorf("sale %d: %v", i, err)
		}
		b.abandon(sales[i])
		b.check()
	}
	b.serve(0, "w/c/key")
	if len(b.workspaces)+len(b.lines)+len(b.keys) > 0 {
		t.Errorf("%d workspaces, %d lines and %d keys are kept", len(b.workspaces), len(b.lines), len(b.keys))
	}
}

func TestQueue_ShedsBeyondAWorkspacesShare(t *testing.T) {
	b := newFixture(t, nil)
	for i := range 16 {
		b.push(fmt.Sprint("w/", i))
	}
	if _, shed := b.try("w/16"); !errors.Is(shed, errQueueFull) {
		t.Errorf("shed %v, want for the queue", shed)
	}
	for i := range 8 { // each makes w lose its newest
		b.push(fmt.Sprint("x/", i))
	}
	w, x := b.workspaces["w"].all.length, b.workspaces["x"].all.length
	if w != 8 || x != 8 || b.workspaces["w"].all.last.Request.CustomerName != "w/7" {
		t.Errorf("%d and %d wait, want half of the room each, the oldest", w, x)
	}
	b.check()
	b.want(0, "w/0 x/0 w/1 x/1")
	if _, shed := b.try("x/8"); shed != nil {
		t.Errorf("shed %v below its share", shed)
	}
	b.push("y/0")
	if _, shed := b.try("x/9"); !errors.Is(shed, errShareUsed) {
		t.Errorf("shed %v, want for its share", shed)
	}
	b.finish(0)
}

func TestQueue_FurtherWritersWaitForABacklog(t *testing.T) {
	b := newFixture(t, nil)
	b.times.observe(time.Second, time.Now()) // no task is overdue
	b.push("w/0")
	b.want(0, "w/0")
	for i := range 3 {
		b.push(fmt.Sprint("w/", i+1))
	}
	b.want(1, "")
	b.push("w/4")
	b.want(1, "w/1 w/2 w/3 w/4")
	b.finish(0)
	b.finish(1)
}

func TestQueue_WriterThatTakesLongCountsNoLonger(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/0")
	b.want(0, "w/0")
	b.push("w/1")
	b.want(1, "")
	b.slots[0].since = time.Now().Add(-time.Second)
	b.want(1, "w/1")
	b.finish(0)
	b.finish(1)
}

// The cost of a batch does not depend on how many sales wait.
func BenchmarkQueue_TakeAndFinish(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(waiting, " wait"), func(b *testing.B) {
			q := newFixture(b, func(o *postgres.Options) { o.Writers, o.Batch, o.Queue = 1, 64, 2*waiting }).queue
			n := 0
			push := func() {
				s := &sale.Sale{WorkspaceID: fmt.Sprint(n % 500),
					Request: &sale.Request{CustomerExternalID: fmt.Sprint(n % (waiting / 2))}}
				testenv.NoError(b, q.push(newPendingSale(s, time.Now().Add(time.Hour))))
				n++
			}
			for range waiting {
				push()
			}
			slot := q.slots[0]
			for b.Loop() {
				q.mu.Lock()
				q.assign(slot, time.Now())
				q.mu.Unlock()
				batch, _ := q.take(slot)
				taken := len(batch)
				for _, p := range batch {
					p.answer(nil, nil)
				}
				q.finish(slot, nil, nil, nil, true)
				for range taken {
					push()
				}
			}
		})
	}
}
