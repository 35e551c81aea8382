package order_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
)

// history is what several callers did, partly at the same time.
type history struct {
	clock atomic.Int64

	mu    sync.Mutex
	calls []call
	sales int       // begun so far
	moved sync.Cond // signals changes
}

func newHistory() *history {
	h := &history{}
	h.moved.L = &h.mu
	return h
}

// call is an act with the times at which its caller began it and was answered.
type call struct {
	act
	begun, ended int64
	told         answer
}

func (h *history) perform(s *stage, acts []act) {
	for _, a := range acts {
		h.keepStep(a)
		begun := h.clock.Add(1)
		told := a.perform(s)
		ended := h.clock.Add(1)
		h.mu.Lock()
		h.calls = append(h.calls, call{a, begun, ended, told})
		h.mu.Unlock()
	}
}

// keepStep makes the site wait for the sales before its act.
func (h *history) keepStep(a act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if site, is := a.(siteAct); is {
		for h.sales < site.after {
			h.moved.Wait()
		}
		return
	}
	h.sales++
	h.moved.Broadcast()
}

func (h *history) results() map[string]int {
	all := map[string]int{}
	for _, d := range h.calls {
		all[d.told.result]++
	}
	return all
}

// check fails the test unless there is an order, in which a call follows all that had ended when it
// began, that leads step by step to every answer and to the stored rows.
func (h *history) check(t testing.TB, w *world, start, end ledger) {
	t.Helper()
	touched, longest := map[any]bool{}, 0
	for p := range h.parts() {
		maps.Copy(touched, p.touches)
		calls := slices.SortedFunc(slices.Values(p.calls), func(a, b call) int { return cmp.Compare(a.begun, b.begun) })
		after := h.clock.Add(1)
		s := newSearch(w, append(calls, call{finding{end.of(p.touches)}, after, after, answer{}}))
		if !s.explain(start.of(p.touches)) {
			t.Errorf("no order explains this%s", s)
		}
		longest = max(longest, s.steps)
	}
	others := func(l ledger) ledger { return l.filter(func(x any) bool { return !touched[x] }) }
	if left := others(start).differs(others(end)); left != "" {
		t.Errorf("no request asked for this:%s", left)
	}
	t.Logf("%d calls, told %v; the longest search took %d steps", len(h.calls), h.results(), longest)
}

// part is a set of calls that depend on each other, and not on those of other parts.
type part struct {
	calls   []call
	touches map[any]bool
}

func (h *history) parts() map[*part]bool {
	of := map[any]*part{}
	for _, d := range h.calls {
		joint := &part{[]call{d}, map[any]bool{}}
		joined := map[*part]bool{nil: true}
		for _, x := range d.touches() {
			joint.touches[x] = true
			if other := of[x]; !joined[other] {
				joined[other] = true
				joint.calls = append(joint.calls, other.calls...)
				maps.Copy(joint.touches, other.touches)
			}
		}
		for x := range joint.touches {
			of[x] = joint
		}
	}
	parts := map[*part]bool{}
	for _, p := range of {
		parts[p] = true
	}
	return parts
}

// touches returns what the answer depends on, and the new ID of a sale if it got one. A replay says
// nothing about the customer.
func (d call) touches() []any {
	all := d.act.touches()
	switch d.told.result {
	case wasReplayed, wasMismatch:
		all = slices.DeleteFunc(all, func(x any) bool { _, is := x.(customerName); return is })
	case wasRecorded:
		if id := any(d.told.saleID); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// finding is the final state of the tables.
type finding struct{ stored ledger }

func (finding) perform(*stage) answer { return answer{} }

func (f finding) step(_ *world, l ledger, _ answer) (answer, ledger) {
	return answer{result: l.stored().differs(f.stored)}, l
}

func (finding) touches() []any { return nil }

func (f finding) String() string { return "what is stored in the end" }

// search looks for an order that explains all calls, by the algorithm of Wing and Gong. It
// remembers visited states, takes calls without effect immediately, and gives up if an answer has
// become impossible.
type search struct {
	world  *world
	calls  []call // in the order in which they began
	shared map[uuid.UUID]bool
	needs  [][]fact
	gives  [][]fact
	steps  int

	order   []int
	done    []byte              // of each call, 1 where it is in the order
	visited map[string][]ledger // by done
	given   map[fact]int        // by those that are not done

	longest []int
	impasse ledger // after longest
}

// maxSteps is far more than any search takes.
const maxSteps = 1_000_000

func newSearch(w *world, calls []call) *search {
	s := &search{
		world: w, calls: calls, shared: sharedIDs(calls),
		done: make([]byte, len(calls)), visited: map[string][]ledger{}, given: map[fact]int{},
	}
	for i, d := range calls {
		s.needs, s.gives = append(s.needs, d.needs(s.shared)), append(s.gives, d.gives())
		s.give(i, 1)
	}
	return s
}

// explain extends the order, which has led to l, to all calls.
func (s *search) explain(l ledger) bool {
	if len(s.order) > len(s.longest) {
		s.longest, s.impasse = slices.Clone(s.order), l
	}
	if len(s.order) == len(s.calls) {
		return true
	}
	if s.lost() || s.again(l) || s.impossible(l) {
		return false
	}
	type way struct {
		call  int
		after ledger
	}
	var ways []way
	for _, i := range s.next() {
		want, after := s.step(i, l)
		if want != s.calls[i].told {
			continue
		}
		if s.calls[i].readsOnly() && after.equal(l) {
			return s.take(i, after)
		}
		ways = append(ways, way{i, after})
	}
	return slices.ContainsFunc(ways, func(w way) bool { return s.take(w.call, w.after) })
}

func (s *search) take(i int, after ledger) bool {
	s.order, s.done[i] = append(s.order, i), 1
	s.give(i, -1)
	explained := s.explain(after)
	s.give(i, 1)
	s.order, s.done[i] = s.order[:len(s.order)-1], 0
	return explained
}

func (s *search) step(i int, l ledger) (answer, ledger) {
	s.steps++
	if told := s.calls[i].told; told.result == wasUnattributed && s.resent(i) {
		return told, l
	}
	return s.calls[i].step(s.world, l, s.calls[i].told)
}

// resent reports whether another call sent the same sale at the same time. Its statement may then
// see a change of the site that the other one does not, such as a renamed customer, but not the
// sale. An edge takes this answer as unknown and tries again, as it sends a sale again only if the
// outcome of an earlier statement is unknown.
func (s *search) resent(i int) bool {
	one, isSale := s.calls[i].act.(saleAct)
	return isSale && slices.ContainsFunc(s.calls, func(other call) bool {
		same, isSale := other.act.(saleAct)
		return isSale && same.Sale == one.Sale && other.begun != s.calls[i].begun &&
			other.begun < s.calls[i].ended && s.calls[i].begun < other.ended
	})
}

func (s *search) lost() bool { return s.steps > maxSteps }

func (s *search) again(l ledger) bool {
	visited := s.visited[string(s.done)]
	if slices.ContainsFunc(visited, l.equal) {
		return true
	}
	s.visited[string(s.done)] = append(visited, l)
	return false
}

// next returns the calls that can come next, the likeliest first: those that began before any
// remaining call ended.
func (s *search) next() (next []int) {
	soonest := int64(math.MaxInt64)
	for i, d := range s.calls {
		if d.begun > soonest {
			break
		}
		if s.done[i] == 0 {
			next = append(next, i)
			soonest = min(soonest, d.ended)
		}
	}
	next = slices.DeleteFunc(next, func(i int) bool { return s.calls[i].begun > soonest })
	slices.SortFunc(next, func(i, j int) int { return cmp.Compare(s.calls[i].ended, s.calls[j].ended) })
	return next
}

// impossible reports whether a remaining call saw a fact that does not hold and that no remaining
// call creates.
func (s *search) impossible(l ledger) bool {
	for i, needs := range s.needs {
		if s.done[i] == 0 && slices.ContainsFunc(needs, func(f fact) bool { return s.given[f] == 0 && !f.holds(l) }) {
			return true
		}
	}
	return false
}

func (s *search) give(i, times int) {
	for _, f := range s.gives[i] {
		s.given[f] += times
	}
}

// String shows the calls, and where the longest order ends.
func (s *search) String() string {
	var b strings.Builder
	if s.lost() {
		fmt.Fprint(&b, " in reasonable time")
	}
	for i, d := range s.calls {
		fmt.Fprintf(&b, "\n%d: %d–%d %v\n\ttold %v", i, d.begun, d.ended, d.act, d.told)
	}
	fmt.Fprintf(&b, "\nthe longest order: %v\nwhich leads to %+v", s.longest, s.impasse.customers)
	for _, i := range s.longest {
		s.done[i] = 1
	}
	for _, i := range s.next() {
		want, _ := s.step(i, s.impasse)
		fmt.Fprintf(&b, "\nand next %d would be told %v", i, want)
	}
	return b.String()
}
