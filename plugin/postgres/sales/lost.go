package sales

import (
	"slices"
	"time"
)

const (
	minAskPause = 50 * time.Millisecond
	maxAskPause = time.Second
)

// lostSales are the sales with an unknown outcome. Until their deadlines, writers send them again
// in separate statements: a hanging statement still holds their keys and customers, and other sales
// in the same batch would wait for it. At most one such statement runs at a time.
type lostSales struct {
	groups []lostGroup
	asking bool
}

type lostGroup struct {
	sales  []*pendingSale
	due    time.Time
	pause  time.Duration // before it is sent again; doubles each time
	behind bool          // waits until its customers are in no batch
}

func (l *lostSales) add(sales []*pendingSale, now time.Time) {
	if len(sales) > 0 {
		l.groups = append(l.groups, lostGroup{sales: slices.Clone(sales), due: now})
	}
}

// take moves due groups to the slot: one, or several with at most limit sales. It returns false if
// there are none.
func (l *lostSales) take(s *slot, limit int, now time.Time) bool {
	if l.asking {
		return false
	}
	l.groups = slices.DeleteFunc(l.groups, func(g lostGroup) bool {
		if g.due.After(now) || len(s.group.sales) > 0 && len(s.group.sales)+len(g.sales) > limit {
			return false
		}
		s.group.sales = append(s.group.sales, g.sales...)
		s.group.pause = max(s.group.pause, g.pause)
		l.asking = true
		return true
	})
	return l.asking
}

// putBack queues again the sales of g, whose customers are in another batch, and those still lost.
func (l *lostSales) putBack(g lostGroup, lost []*pendingSale, now time.Time) {
	if len(g.sales) > 0 {
		due := now.Add(max(g.pause, minAskPause))
		l.groups = append(l.groups, lostGroup{sales: g.sales, due: due, pause: g.pause, behind: true})
	}
	if len(lost) > 0 {
		pause := min(max(2*g.pause, minAskPause), maxAskPause)
		l.groups = append(l.groups, lostGroup{sales: slices.Clone(lost), due: now.Add(pause), pause: pause})
	}
}

// makeDue makes the groups due that waited for a customer.
func (l *lostSales) makeDue(now time.Time) {
	for i := range l.groups {
		if l.groups[i].behind {
			l.groups[i].due = now
		}
	}
}

// due returns when the next group is due, if any may be sent.
func (l *lostSales) due() (at time.Time, found bool) {
	if l.asking {
		return at, false
	}
	for _, g := range l.groups {
		if !found || g.due.Before(at) {
			at, found = g.due, true
		}
	}
	return at, found
}

func (l *lostSales) len() (sales int) {
	for _, g := range l.groups {
		sales += len(g.sales)
	}
	return sales
}

// takeLost moves the slot's lost sales to its batch if their customers are in no other batch, and
// reserves the customers of the rest.
func (q *queue) takeLost(s *slot) {
	q.dropDone(s)
	var rest []*pendingSale
	for _, p := range s.group.sales {
		l := q.line(p.customer)
		if l.slot != nil && l.slot != s && l.slot != q.reserved {
			l.reserve = true
			rest = append(rest, p)
			continue
		}
		q.begin(l, s)
		s.sales = append(s.sales, p)
	}
	s.group.sales = rest
}

// dropDone removes the slot's lost sales that are answered or whose callers have left.
func (q *queue) dropDone(s *slot) {
	s.group.sales = slices.DeleteFunc(s.group.sales, func(p *pendingSale) bool {
		if !p.isOver() {
			return false
		}
		q.unlock(p)
		if l := q.lines[p.customer]; l != nil {
			l.reserve = false
			if l.slot == q.reserved {
				q.end(l)
			}
		}
		return true
	})
}

// reserve keeps the customers of lost sales out of other batches until these are sent again.
func (q *queue) reserve(lost []*pendingSale) {
	for _, p := range lost {
		if l := q.lines[p.customer]; l != nil {
			l.reserve = true
		}
	}
}

func (q *queue) ask(sales []*pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lost.add(sales, now)
	q.dispatch(now)
}
