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
	groups []*lostGroup
	asking bool
}

// lostGroup is what one statement asks for.
type lostGroup struct {
	sales []*pendingSale
	due   time.Time
	pause time.Duration // since it was asked for last
}

// add makes a group of the sales, which is due immediately.
func (l *lostSales) add(sales []*pendingSale, now time.Time) {
	if len(sales) > 0 {
		l.groups = append(l.groups, &lostGroup{sales: slices.Clone(sales), due: now})
	}
}

// take gives the seat the first group that is due.
func (l *lostSales) take(s *seat, now time.Time) bool {
	if l.asking {
		return false
	}
	for i, g := range l.groups {
		if !g.due.After(now) {
			l.groups = slices.Delete(l.groups, i, i+1)
			l.asking, s.group = true, g
			return true
		}
	}
	return false
}

// giveBack ends the asking for a group. The sales that are still lost are asked for later, from the second time on in
// halves: one that another session holds must not hide what became of the others.
func (l *lostSales) giveBack(g *lostGroup, lost []*pendingSale, now time.Time) {
	l.asking = false
	pause, half := min(max(2*g.pause, minAskPause), maxAskPause), 0
	if g.pause > 0 {
		half = len(lost) / 2
	}
	for _, sales := range [][]*pendingSale{g.sales, lost[:half], lost[half:]} {
		if len(sales) > 0 {
			l.groups = append(l.groups, &lostGroup{sales: slices.Clone(sales), due: now.Add(pause), pause: pause})
		}
	}
}

// due returns when the next group is due.
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

// takeGroup takes those of the group whose customers are in no batch.
func (q *queue) takeGroup(s *seat) {
	q.dropOver(s.group)
	var rest []*pendingSale
	for _, p := range s.group.sales {
		l := q.line(p.customer)
		if l.seat != nil && l.seat != s {
			rest = append(rest, p)
			continue
		}
		q.begin(l, s)
		s.sales = append(s.sales, p)
	}
	s.group.sales = rest
}

// dropOver removes the sales of a group whose callers have left.
func (q *queue) dropOver(g *lostGroup) {
	g.sales = slices.DeleteFunc(g.sales, func(p *pendingSale) bool {
		over := p.isOver()
		if over {
			q.unlock(p)
		}
		return over
	})
}

// ask has sales of unknown outcome asked for again.
func (q *queue) ask(sales []*pendingSale) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lost.add(sales, now)
	q.dispatch(now)
}
