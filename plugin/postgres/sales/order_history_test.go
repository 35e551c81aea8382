package sales_test

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
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
		t.Errorf("nobody asked for this:%s", left)
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
