package sales

import (
	"testing"
	"time"
)

// crew is writers that do not run, with room for four sales each and batches of two.
func crew(t *testing.T, n int) *writers {
	t.Helper()
	s := &writers{batch: 2}
	for range n {
		s.all = append(s.all, &writer{queue: newQueue(4)})
	}
	return s
}

func (s *writers) index(w *writer) int {
	for i := range s.all {
		if s.all[i] == w {
			return i
		}
	}
	return -1
}

func (w *writer) wait(sales int) {
	for range sales {
		w.queue.push(&pendingSale{})
	}
}

func TestFurtherWritersWaitForABacklog(t *testing.T) {
	const well, ails, healed, stuck = 0, 1, 2, 3
	for _, c := range []struct {
		name    string
		waiting []int
		state   []int
		want    int
	}{
		{"idle", []int{0, 0, 0}, []int{well, well, well}, 0},
		{"less than a batch waits", []int{1, 0, 0}, []int{well, well, well}, 0},
		{"a batch waits for the first", []int{2, 0, 0}, []int{well, well, well}, 1},
		{"a batch waits for each: the shortest queue", []int{4, 3, 4}, []int{well, well, well}, 1},
		{"a batch waits for each alike", []int{2, 2, 2}, []int{well, well, well}, 0},
		{"the first cannot connect", []int{0, 1, 0}, []int{ails, well, well}, 1},
		{"the first could not a while ago", []int{0, 1, 0}, []int{healed, well, well}, 0},
		{"the first is stuck", []int{0, 0, 0}, []int{stuck, well, well}, 1},
		{"the others cannot, and the first has no room", []int{4, 1, 0}, []int{well, ails, ails}, 2},
		{"the first cannot, and the others have no room", []int{0, 4, 4}, []int{ails, well, well}, 0},
		{"none can connect", []int{1, 0, 0}, []int{ails, ails, ails}, 1},
		{"all are full", []int{4, 4, 4}, []int{ails, well, well}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := crew(t, len(c.waiting))
			for i, n := range c.waiting {
				s.all[i].wait(n)
				switch now := time.Now(); c.state[i] {
				case ails:
					s.all[i].failed.Store(now.UnixNano())
				case healed:
					s.all[i].failed.Store(now.Add(-ailsFor).UnixNano())
				case stuck:
					s.all[i].began.Store(now.Add(-stuckAfter).UnixNano())
				}
			}
			w, _ := s.enter(customerKey{"w", "c"})
			if got := s.index(w); got != c.want {
				t.Errorf("writer %d, want %d", got, c.want)
			}
		})
	}
}

func TestQueueShorterThanABatchCallsFurtherWriters(t *testing.T) {
	s := crew(t, 2)
	s.batch = 100
	s.all[0].wait(4)
	if w, _ := s.enter(customerKey{"w", "c"}); s.index(w) != 1 {
		t.Error("a sale is sent to a full queue beside an empty one")
	}
}

func TestCustomerStaysWithItsWriterWhileItsSalesAreUnderWay(t *testing.T) {
	s, customer := crew(t, 2), customerKey{"w", "c"}
	_, first := s.enter(customer)
	s.all[0].wait(2)
	second, sameSlot := s.enter(customer)
	if got := s.index(second); got != 0 {
		t.Errorf("the second sale goes to writer %d, want that of the first, 0", got)
	}
	s.leave(first)
	third, _ := s.enter(customer)
	if got := s.index(third); got != 0 {
		t.Errorf("the third sale goes to writer %d, want that of the second, 0", got)
	}
	s.leave(sameSlot)
	s.leave(sameSlot)
	next, _ := s.enter(customer)
	if got := s.index(next); got != 1 {
		t.Errorf("once all are answered the next goes to writer %d, want the free one, 1", got)
	}
}
