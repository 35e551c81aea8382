package postgres

import "testing"

// crew is writers that do not run, with room for four sales each and batches of two.
func crew(t *testing.T, n int) *saleWriters {
	t.Helper()
	s := newSaleWriters(2)
	for range n {
		s.all = append(s.all, &saleWriter{queue: newSaleQueue(4)})
	}
	return s
}

func (s *saleWriters) index(w *saleWriter) int {
	for i := range s.all {
		if s.all[i] == w {
			return i
		}
	}
	return -1
}

func (w *saleWriter) wait(sales int) {
	for range sales {
		w.queue.push(&pendingSale{})
	}
}

func TestFurtherWritersWaitForABacklog(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting []int
		ailing  []bool
		want    int
	}{
		{"idle", []int{0, 0, 0}, nil, 0},
		{"less than a batch waits", []int{1, 0, 0}, nil, 0},
		{"a batch waits for the first", []int{2, 0, 0}, nil, 1},
		{"a batch waits for each: the shortest queue", []int{4, 3, 4}, nil, 1},
		{"a batch waits for each alike", []int{2, 2, 2}, nil, 0},
		{"the first cannot connect", []int{0, 1, 0}, []bool{true, false, false}, 1},
		{"the first cannot connect, and full queues at the others", []int{0, 4, 4}, []bool{true, false, false}, 0},
		{"none can connect", []int{1, 0, 0}, []bool{true, true, true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := crew(t, len(c.waiting))
			for i, n := range c.waiting {
				s.all[i].wait(n)
				s.all[i].ailing.Store(c.ailing != nil && c.ailing[i])
			}
			w, _ := s.enter(customerKey{"w", "c"})
			if got := s.index(w); got != c.want {
				t.Errorf("writer %d, want %d", got, c.want)
			}
		})
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
