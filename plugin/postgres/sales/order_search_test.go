package sales_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
)

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
