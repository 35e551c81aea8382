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

// history is what several callers did, much of it at the same time.
type history struct {
	clock atomic.Int64

	mu    sync.Mutex
	deeds []deed
	sales int       // begun
	moved sync.Cond // on
}

func newHistory() *history {
	h := &history{}
	h.moved.L = &h.mu
	return h
}

// deed is an act, and when its caller began it and was told.
type deed struct {
	act
	begun, ended int64
	told         answer
}

// perform does the acts one by one.
func (h *history) perform(s *stage, acts []act) {
	for _, a := range acts {
		h.keepStep(a)
		begun := h.clock.Add(1)
		told := a.perform(s)
		ended := h.clock.Add(1)
		h.mu.Lock()
		h.deeds = append(h.deeds, deed{a, begun, ended, told})
		h.mu.Unlock()
	}
}

// keepStep makes the site wait for the sales among which it is to act.
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
	for _, d := range h.deeds {
		all[d.told.result]++
	}
	return all
}

// check fails the test unless some order, in which a deed stands behind all that had ended when it began, leads one
// by one to every answer and to what is stored in the end.
func (h *history) check(t testing.TB, w *world, start, end ledger) {
	t.Helper()
	touched, longest := map[any]bool{}, 0
	for p := range h.parts() {
		maps.Copy(touched, p.touches)
		deeds := slices.SortedFunc(slices.Values(p.deeds), func(a, b deed) int { return cmp.Compare(a.begun, b.begun) })
		after := h.clock.Add(1)
		s := newSearch(w, append(deeds, deed{finding{end.of(p.touches)}, after, after, answer{}}))
		if !s.explain(start.of(p.touches)) {
			t.Errorf("no order explains this%s", s)
		}
		longest = max(longest, s.steps)
	}
	others := func(l ledger) ledger { return l.filter(func(x any) bool { return !touched[x] }) }
	if left := others(start).differs(others(end)); left != "" {
		t.Errorf("no request asked for this:%s", left)
	}
	t.Logf("%d deeds, told %v; the longest search took %d steps", len(h.deeds), h.results(), longest)
}

// part is deeds that depend on each other, and on nothing that those of other parts touch.
type part struct {
	deeds   []deed
	touches map[any]bool
}

func (h *history) parts() map[*part]bool {
	of := map[any]*part{}
	for _, d := range h.deeds {
		joint := &part{[]deed{d}, map[any]bool{}}
		joined := map[*part]bool{nil: true}
		for _, x := range d.touches() {
			joint.touches[x] = true
			if other := of[x]; !joined[other] {
				joined[other] = true
				joint.deeds = append(joint.deeds, other.deeds...)
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

// touches are the act's that the answer has to do with, and the id that a sale was given in place of its own. An
// answer that comes of the key says nothing of the customer.
func (d deed) touches() []any {
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

// finding is the look at the tables after everything else.
type finding struct{ stored ledger }

func (finding) perform(*stage) answer { return answer{} }

func (f finding) step(_ *world, l ledger, _ answer) (answer, ledger) {
	return answer{result: l.stored().differs(f.stored)}, l
}

func (finding) touches() []any { return nil }

func (f finding) String() string { return "what is stored in the end" }

// search is for an order of deeds that explains all of them: that of Wing and Gong, which knows where it has been,
// takes at once what has no effect, and gives up where an answer can no longer come true.
type search struct {
	world  *world
	deeds  []deed // in the order in which they began
	shared map[uuid.UUID]bool
	needs  [][]fact
	gives  [][]fact
	steps  int

	order []int
	done  []byte              // of each deed, 1 where it is in the order
	been  map[string][]ledger // by done
	given map[fact]int        // by those that are not done

	longest []int
	impasse ledger // after longest
}

// maxSteps is far more than any search takes.
const maxSteps = 1_000_000

func newSearch(w *world, deeds []deed) *search {
	s := &search{
		world: w, deeds: deeds, shared: sharedIDs(deeds),
		done: make([]byte, len(deeds)), been: map[string][]ledger{}, given: map[fact]int{},
	}
	for i, d := range deeds {
		s.needs, s.gives = append(s.needs, d.needs(s.shared)), append(s.gives, d.gives())
		s.give(i, 1)
	}
	return s
}

// explain extends the order, which has led to l, to all deeds.
func (s *search) explain(l ledger) bool {
	if len(s.order) > len(s.longest) {
		s.longest, s.impasse = slices.Clone(s.order), l
	}
	if len(s.order) == len(s.deeds) {
		return true
	}
	if s.lost() || s.again(l) || s.hopeless(l) {
		return false
	}
	type way struct {
		deed  int
		after ledger
	}
	var ways []way
	for _, i := range s.next() {
		want, after := s.step(i, l)
		if want != s.deeds[i].told {
			continue
		}
		if s.deeds[i].onlyLooks() && after.equal(l) {
			return s.take(i, after)
		}
		ways = append(ways, way{i, after})
	}
	return slices.ContainsFunc(ways, func(w way) bool { return s.take(w.deed, w.after) })
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
	return s.deeds[i].step(s.world, l, s.deeds[i].told)
}

func (s *search) lost() bool { return s.steps > maxSteps }

// again tells whether the search has been here.
func (s *search) again(l ledger) bool {
	been := s.been[string(s.done)]
	if slices.ContainsFunc(been, l.equal) {
		return true
	}
	s.been[string(s.done)] = append(been, l)
	return false
}

// next are the deeds that can come next: those that began before any that is left had ended; the likeliest first.
func (s *search) next() (next []int) {
	soonest := int64(math.MaxInt64)
	for i, d := range s.deeds {
		if d.begun > soonest {
			break
		}
		if s.done[i] == 0 {
			next = append(next, i)
			soonest = min(soonest, d.ended)
		}
	}
	next = slices.DeleteFunc(next, func(i int) bool { return s.deeds[i].begun > soonest })
	slices.SortFunc(next, func(i, j int) int { return cmp.Compare(s.deeds[i].ended, s.deeds[j].ended) })
	return next
}

// hopeless is true where a deed that is left saw something that is not so, and that none which is left makes so.
func (s *search) hopeless(l ledger) bool {
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

// String shows the deeds, and where the order ends that explains most of them.
func (s *search) String() string {
	var b strings.Builder
	if s.lost() {
		fmt.Fprint(&b, " in reasonable time")
	}
	for i, d := range s.deeds {
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
