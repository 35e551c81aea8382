package sales

import (
	"slices"
	"time"
)

const (
	minAskPause = 50 * time.Millisecond
	maxAskPause = time.Second
)

// lostSales are the sales whose outcome was lost. They are asked for by id until their deadlines, in statements of their
// own: a statement that hangs still holds their keys and customers, and would make others wait for it. One such
// statement is under way at a time.
type lostSales struct {
	groups []lostGroup
	asking bool
}

// lostGroup is sales that are asked for at the same time.
type lostGroup struct {
	sales  []*pendingSale
	due    time.Time
	pause  time.Duration // since they were asked for
	behind bool          // they wait until their customers are in no batch
}

// add has sales asked for immediately.
func (l *lostSales) add(sales []*pendingSale, now time.Time) {
	if len(sales) > 0 {
		l.groups = append(l.groups, lostGroup{sales: slices.Clone(sales), due: now})
	}
}

// take gives the seat the sales that are due, as many as one statement holds.
func (l *lostSales) take(s *seat, most int, now time.Time) bool {
	if l.asking {
		return false
	}
	l.groups = slices.DeleteFunc(l.groups, func(g lostGroup) bool {
		if g.due.After(now) || len(s.group.sales) > 0 && len(s.group.sales)+len(g.sales) > most {
			return false
		}
		s.group.sales = append(s.group.sales, g.sales...)
		s.group.pause = max(s.group.pause, g.pause)
		l.asking = true
		return true
	})
	return l.asking
}

// giveBack takes back the sales of a group whose customers were in another batch, and those that are still lost.
func (l *lostSales) giveBack(g lostGroup, lost []*pendingSale, now time.Time) {
	if len(g.sales) > 0 {
		l.groups = append(l.groups, lostGroup{sales: g.sales, due: now.Add(max(g.pause, minAskPause)), pause: g.pause, behind: true})
	}
	if len(lost) > 0 {
		pause := min(max(2*g.pause, minAskPause), maxAskPause)
		l.groups = append(l.groups, lostGroup{sales: slices.Clone(lost), due: now.Add(pause), pause: pause})
	}
}

// hurry makes the sales due that have waited for a customer.
func (l *lostSales) hurry(now time.Time) {
	for i := range l.groups {
		if l.groups[i].behind {
			l.groups[i].due = now
		}
	}
}

// due returns when the next sales are.
func (l *lostSales) due() (at time.Time, some bool) {
	if l.asking {
		return at, false
	}
	for _, g := range l.groups {
		if !some || g.due.Before(at) {
			at, some = g.due, true
		}
	}
	return at, some
}

func (l *lostSales) len() (sales int) {
	for _, g := range l.groups {
		sales += len(g.sales)
	}
	return sales
}

// takeLost takes those of the seat's lost sales whose customers are in no batch, and reserves the customers of the others.
func (q *queue) takeLost(s *seat) {
	q.dropOver(s)
	var rest []*pendingSale
	for _, p := range s.group.sales {
		l := q.line(p.customer)
		if l.seat != nil && l.seat != s && l.seat != q.reserved {
			l.wanted = true
			rest = append(rest, p)
			continue
		}
		q.begin(l, s)
		s.sales = append(s.sales, p)
	}
	s.group.sales = rest
}

// dropOver removes the seat's lost sales whose callers have left.
func (q *queue) dropOver(s *seat) {
	s.group.sales = slices.DeleteFunc(s.group.sales, func(p *pendingSale) bool {
		if !p.isOver() {
			return false
		}
		q.unlock(p)
		if l := q.lines[p.customer]; l != nil {
			l.wanted = false
			if l.seat == q.reserved {
				q.end(l)
			}
		}
		return true
	})
}

// reserve keeps the customers of lost sales out of other batches until these are asked for, which is once.
func (q *queue) reserve(lost []*pendingSale) {
	for _, p := range lost {
		if l := q.lines[p.customer]; l != nil {
			l.wanted = true
		}
	}
}

// ask has sales of unknown outcome asked for again.
func (q *queue) ask(sales []*pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lost.add(sales, now)
	q.dispatch(now)
}
