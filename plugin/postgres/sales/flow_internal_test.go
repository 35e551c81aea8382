package sales

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/sale"
)

func TestQueue_SuspectHasSeparateBatches(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/0")
	first := b.want(0, "w/0")
	b.push("x/0")
	b.queue.finish(b.slots[0], first, nil, []string{"w"}, true)
	b.push("w/1", "x/1")
	b.want(0, "w/0 w/1")
	b.push("w/2")
	b.want(1, "x/0 x/1")
	b.finish(0)
	b.serve(0, "w/2")
	b.finish(1)
}

func TestQueue_LostSalesAreAskedForWithoutOthers(t *testing.T) {
	b := newFixture(t, nil)
	lost := b.push("w/c/key")
	b.want(0, "w/c/key")
	lose(lost)
	b.push("w/d")
	b.queue.finish(b.slots[0], nil, []*pendingSale{lost}, nil, true)
	b.push("w/e/key")
	b.want(0, "w/c/key")
	b.serve(1, "w/d")
	b.finish(0)
	b.serve(0, "w/e/key")
}

func TestQueue_ShedsWhatCannotBeAnsweredInItsTime(t *testing.T) {
	b := newFixture(t, nil)
	for i := range 8 {
		b.push(fmt.Sprint("w/", i))
	}
	b.take(0)
	b.take(1)
	b.times.observe(5500*time.Millisecond, time.Now())
	b.push("w/8") // is sent once one of them has ended
	if p, err := b.try("w/0"); !errors.Is(err, errWait) || b.wait(p) < 5*time.Second {
		t.Errorf("%v, want to be shed for its customer's wait", err)
	}
	late := b.push("w/9")
	late.deadline = time.Now().Add(time.Second)
	b.finish(0)
	b.slots[1].since = time.Time{}
	b.want(0, "w/8")
	if _, err, _ := late.wait(t.Context(), t.Context()); !errors.Is(err, sale.ErrNotRecorded) {
		t.Errorf("the late one: %v", err)
	}
	b.finish(0)
	b.finish(1)
}

func TestQueue_LostSaleComesBeforeItsCustomersNext(t *testing.T) {
	b := newFixture(t, nil)
	lost := b.push("w/hot")
	b.want(0, "w/hot")
	lose(lost)
	b.push("w/hot")
	b.queue.finish(b.slots[0], nil, []*pendingSale{lost}, nil, false)
	if batch := b.want(1, "w/hot"); batch[0] != lost {
		t.Error("a further sale of the customer came first")
	}
	b.finish(1, lost)
}

func TestQueue_LostSaleWaitsForItsCustomersBatch(t *testing.T) {
	b := newFixture(t, nil)
	lost := b.push("w/hot")
	b.want(0, "w/hot")
	lose(lost)
	b.queue.finish(b.slots[0], nil, nil, nil, true)
	b.push("w/hot")
	b.want(0, "w/hot")
	b.ask([]*pendingSale{lost})
	b.serve(1, "")
	b.push("w/hot")
	b.finish(0)
	if batch := b.want(0, "w/hot"); len(batch) != 1 || batch[0] != lost {
		t.Error("the lost sale is not sent again")
	}
	b.finish(0)
	b.serve(0, "w/hot")
}

func TestQueue_OnlyWriterSharesItsTimeWithSuspects(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Writers = 1 })
	b.push("w/0", "x/0")
	first := b.want(0, "w/0 x/0")
	b.queue.finish(b.slots[0], first, nil, []string{"w"}, true)
	var order []string
	for i := range 6 {
		b.push(fmt.Sprint("w/more", i))
		b.push(fmt.Sprint("x/more", i))
		batch := b.take(0)
		order = append(order, batch[0].WorkspaceID)
		b.finish(0)
	}
	if got := strings.Join(order, " "); got != "w x w x w x" && got != "x w x w x w" {
		t.Errorf("batches of %s", got)
	}
}

func TestQueue_ServedCustomerComesLast(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Batch = 1 })
	b.push("w/a", "w/b")
	b.want(0, "w/a")
	b.push("w/a")
	b.finish(0)
	b.serve(0, "w/b")
	b.serve(0, "w/a")
}

func TestQueue_KeepsNoPlacesOfSalesThatFailed(t *testing.T) {
	b := newFixture(t, nil)
	for i := range 10_000 {
		b.push(fmt.Sprint("w", i%10, "/", i))
		if i%10 == 9 {
			b.mu.Lock()
			b.failArrived(time.Now(), notRecorded(errQueueFull))
			b.mu.Unlock()
		}
	}
	if n := len(b.turns); n > 200 {
		t.Errorf("%d turns are kept of workspaces that have no sale", n)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	b.push("stays/0")
	for i := range 10_000 {
		p := b.push(fmt.Sprint("stays/", i+1))
		p.wait(left, t.Context())
		b.abandon(p)
	}
	if n := len(b.workspaces["stays"].fifo); n > 200 {
		t.Errorf("%d places are kept of customers that have no sale", n)
	}
}

func TestEstimate_FollowsRareStatements(t *testing.T) {
	for _, took := range []time.Duration{5 * time.Millisecond, 1600 * time.Millisecond, 3 * time.Second} {
		var e estimate
		now := time.Now()
		for range 100 {
			e.observe(5*time.Millisecond, now)
		}
		for range 20 {
			now = now.Add(took)
			e.observe(took, now)
		}
		if usual := e.usual(now); usual < took*8/10 || usual > took*12/10 {
			t.Errorf("after statements of %v it says %v", took, usual)
		}
		if usual := e.usual(now.Add(15 * time.Second)); usual > took/4 {
			t.Errorf("a while after statements of %v it says %v", took, usual)
		}
	}
}

func TestEstimate_IsHardlyChangedByAnOutage(t *testing.T) {
	var e estimate
	now := time.Now()
	for range 100 {
		e.observe(5*time.Millisecond, now)
	}
	for range 4 {
		e.observe(4900*time.Millisecond, now)
	}
	if most := e.likelyMax(now); most > 4*time.Second {
		t.Errorf("after four statements that were held up it says %v", most)
	}
}

func TestQueue_ShedsWhatAnIdleWriterCannotTake(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/hot")
	b.want(0, "w/hot")
	b.times.observe(5500*time.Millisecond, time.Now())
	b.idle = []*slot{b.slots[1]}
	if p, err := b.try("w/hot"); !errors.Is(err, errWait) || b.wait(p) < 5*time.Second {
		t.Errorf("%v, want to be shed for the customer's batch", err)
	}
	b.idle = nil
	b.finish(0)
}

func TestQueue_StuckTaskIsNoReasonToWait(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/0", "x/0")
	first := b.want(0, "w/0 x/0")
	b.queue.finish(b.slots[0], first[:1], nil, []string{"w"}, true)
	b.want(0, "w/0")
	b.push("w/1")
	b.want(1, "")
	b.slots[0].since = time.Now().Add(-time.Second)
	b.want(1, "w/1")
	b.finish(0)
	b.finish(1)
	if b.isolated.running != 0 {
		t.Errorf("%d batches of isolated workspaces are counted", b.isolated.running)
	}
}

func TestQueue_WorkspaceThatIsForgottenMayComeBack(t *testing.T) {
	b := newFixture(t, nil)
	b.push("w/0", "x/0")
	first := b.want(0, "w/0 x/0")
	b.queue.finish(b.slots[0], first[:1], nil, []string{"w"}, true)
	b.mu.Lock() // a writer that cannot connect had the task; another one does it
	b.assign(b.slots[0], time.Now())
	b.slots[0].since = time.Now().Add(-time.Second)
	b.mu.Unlock()
	b.serve(1, "w/0")
	b.push("w/1")
	b.queue.unreachable(b.slots[0], nil)
	b.check()
	b.serve(1, "w/1")
}

func TestExpectedWait_ExcludesAHotCustomer(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Writers, o.Queue = 1, 1000 })
	b.push("w/hot")
	b.take(0)
	b.times.observe(100*time.Millisecond, time.Now())
	for range 80 {
		b.push("w/hot")
	}
	hot, other := b.push("w/hot"), b.push("w/other")
	if wait := b.wait(hot); wait < 15*b.times.usual(time.Now()) {
		t.Errorf("a sale of the hot customer waits %v", wait)
	}
	if wait := b.wait(other); wait > 3*b.times.usual(time.Now()) {
		t.Errorf("another customer's sale waits %v", wait)
	}
	b.finish(0)
}

func TestQueue_SeveralOfAFewWorkspacesMayBeIsolated(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Batch = 8 })
	for _, w := range []string{"a", "b", "c", "d"} {
		b.push(w + "/0")
	}
	first := b.want(0, "a/0 b/0 c/0 d/0")
	b.queue.finish(b.slots[0], first, nil, []string{"a", "b", "c"}, true)
	b.want(0, "a/0")
	b.want(1, "c/0 d/0")
	b.finish(0)
	b.finish(1)
	b.serve(0, "b/0")
}

func TestQueue_UnsentLostSaleIsAskedForByAnother(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Writers = 3 })
	hot, other := b.push("w/hot"), b.push("w/other")
	b.want(0, "w/hot w/other")
	lose(hot, other)
	b.queue.finish(b.slots[0], nil, nil, nil, true)
	b.push("w/hot")
	b.want(1, "w/hot")
	b.ask([]*pendingSale{hot, other})
	b.want(0, "w/other") // and hangs
	b.slots[0].since = time.Now().Add(-time.Second)
	b.mu.Lock()
	b.detachOverdue(time.Now())
	b.mu.Unlock()
	b.finish(1)
	if batch := b.want(1, "w/hot"); len(batch) != 1 || batch[0] != hot {
		t.Error("the lost sale is not sent again")
	}
	b.finish(1)
	b.finish(0)
}

func TestSlowLane_IsShared(t *testing.T) {
	b := newFixture(t, func(o *postgres.Options) { o.Queue, o.Batch = 64, 4 })
	lane := newSlowLane(b.shared, b.queue, nil)
	lane.extra = lane.options.ExtraSlowLaneConns() // so that it starts no other worker
	add := func(workspace, customer string) *shed {
		p, err := b.try(workspace + "/" + customer)
		if err != nil {
			t.Fatal(err)
		}
		b.abandon(p)
		return lane.add(p, false)
	}
	for i := range 1000 {
		_ = add("a", fmt.Sprint(i%8))
	}
	if _, waiting := lane.len(); waiting != 64 {
		t.Fatalf("%d sales wait, want a full lane", waiting)
	}
	for i := range 8 {
		if shed := add("b", fmt.Sprint(i)); shed != nil {
			t.Errorf("another workspace's sale %d is shed: %v", i, shed)
		}
	}
	if _, waiting := lane.len(); waiting != 64 || lane.workspaces["b"] != 8 {
		t.Errorf("%d sales wait, %d of them the other workspace's", waiting, lane.workspaces["b"])
	}
}

func TestRejectedSale_MakesItsWorkspaceASuspect(t *testing.T) {
	b := newFixture(t, nil)
	r := newRunner(b.shared, nil)
	r.halve(attempt{sales: []*pendingSale{b.push("w/k")}}, rejected(errors.New("a trigger's objection")))
	if len(r.suspects) != 1 || r.suspects[0] != "w" {
		t.Errorf("suspects %v", r.suspects)
	}
}

func TestAlteredRelation_InEveryLanguage(t *testing.T) {
	for _, message := range []string{`invalid input syntax for type bigint: "altered: hoko.sales 3"`,
		`ungültige Eingabesyntax für Typ bigint: »altered: hoko.sales 3«`} {
		err := error(&pgconn.PgError{Code: pgerrcode.InvalidTextRepresentation, Message: message})
		if relation, altered := alteredRelation(err); !altered || relation != "hoko.sales" {
			t.Errorf("%s: %q", message, relation)
		}
	}
}
