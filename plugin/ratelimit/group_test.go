package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hoko.to/edge/plugin/limit"
)

// model is the textbook's GCRA, and a quota, for one bucket on an exact clock.
type model struct {
	limit limit.Limit
	cost  int
	full  time.Time // when the bucket is full
	used  int
	ends  time.Time
	// blur bounds what Redis's doubles may have rounded: miniredis writes seconds with 14 digits.
	blur time.Duration
}

func (m *model) advance(now time.Time) {
	if m.limit.Calendar == limit.None {
		if m.full.Before(now) {
			m.full, m.blur = now, 0
		}
		return
	}
	if _, ends := m.limit.Calendar.Bounds(now); !now.Before(m.ends) {
		m.used, m.ends = 0, ends
	}
}

// room returns how many requests are admitted now, if all delays were longer by blur and if they
// were shorter.
func (m *model) room(now time.Time) (least, most int) {
	if m.limit.Calendar != limit.None {
		n := (m.limit.Burst - m.used) / m.cost
		return n, n
	}
	held := float64(m.limit.Fill() - m.full.Sub(now))
	each := float64(m.cost) * m.limit.Interval()
	return max(0, int((held-float64(m.blur))/each)), max(0, int((held+float64(m.blur))/each))
}

func (m *model) charge(n int) {
	m.used += n * m.cost
	m.full = m.full.Add(m.limit.Cost(float64(n * m.cost)))
	m.blur += time.Duration(n) * 12 * time.Microsecond
}

// remaining returns what is left now, and by how much that may be wrong.
func (m *model) remaining(now time.Time) (left, off int) {
	if m.limit.Calendar != limit.None {
		return m.limit.Burst - m.used, 0
	}
	return int(float64(m.limit.Fill()-m.full.Sub(now)) / m.limit.Interval()), 1
}

// property makes random requests for random limits, several at the same time, and compares each
// decision with the model.
type property struct {
	*testing.T
	*Limiter
	random   *rand.Rand
	requests []Request
	models   []*model
}

func newProperty(t *testing.T, l *Limiter, seed uint64) *property {
	p := &property{T: t, Limiter: l, random: rand.New(rand.NewPCG(seed, 0))}
	var group [32]byte
	group[0], group[1] = byte(seed), byte(seed>>8)
	for i := range 1 + p.random.IntN(3) {
		r := Request{Name: fmt.Sprint("limit", i), Group: group, Bucket: group, Limit: p.anyLimit()}
		if p.random.IntN(2) == 0 {
			r.Bucket[31] = 1 // another owner in the group
		}
		r.Cost = 1 + p.random.IntN(min(3, r.Limit.Burst))
		p.requests = append(p.requests, r)
		p.models = append(p.models, &model{limit: r.Limit, cost: r.Cost})
	}
	return p
}

func (p *property) anyLimit() limit.Limit {
	burst := 1 + p.random.IntN(30)
	switch p.random.IntN(4) {
	case 0:
		return limit.Limit{Rate: burst, Burst: burst, Calendar: limit.Day}
	case 1:
		return limit.Limit{Rate: burst, Burst: burst, Calendar: limit.Month}
	}
	return limitOf(1+p.random.IntN(20), time.Duration(1+p.random.IntN(1000))*time.Second, burst)
}

// step lets some time pass and makes some requests. It returns how many were denied.
func (p *property) step() (denied int) {
	p.Helper()
	pause := time.Duration(p.random.Int64N(int64(90 * time.Second)))
	if p.random.IntN(20) == 0 {
		pause = time.Duration(p.random.Int64N(int64(40 * 24 * time.Hour)))
	}
	time.Sleep(pause)
	now, n := time.Now(), 1+p.random.IntN(6)
	least, most := n, n
	for _, m := range p.models {
		m.advance(now)
		l, h := m.room(now)
		least, most = min(least, l), min(most, h)
	}
	all := make([]Decision, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			d, err := p.AllowAll(p.Context(), p.requests)
			if err != nil {
				p.Error(err)
			}
			all[i] = d
		})
	}
	wg.Wait()
	admitted := 0
	for _, d := range all {
		if d.Allowed {
			admitted++
		}
	}
	if admitted < least || admitted > most {
		p.Fatalf("%d of %d admitted, want %d … %d: %+v", admitted, n, least, most, p.requests)
	}
	p.checkStates(all, now, admitted)
	for _, m := range p.models {
		m.charge(admitted)
	}
	p.checkRetry(all)
	return n - admitted
}

// checkStates compares what the decisions say with the model before the requests.
func (p *property) checkStates(all []Decision, now time.Time, admitted int) {
	p.Helper()
	for j, m := range p.models {
		var left []int
		for _, d := range all {
			if states := d.states(); d.Allowed {
				left = append(left, states[j].Remaining)
			}
		}
		slices.Sort(left)
		slices.Reverse(left)
		before, off := m.remaining(now)
		for i, got := range left {
			if want := before - (i+1)*m.cost; got < want-off || got > want+off {
				p.Fatalf("%s, cost %d: %v left of %d", m.limit, m.cost, left, before)
			}
		}
		if len(left) != admitted {
			p.Fatalf("%d admitted, %d left", admitted, len(left))
		}
	}
}

// checkRetry waits as long as a denial says, sometimes, and tries again.
func (p *property) checkRetry(all []Decision) {
	p.Helper()
	i := slices.IndexFunc(all, func(d Decision) bool { return !d.Allowed })
	if i < 0 || p.random.IntN(4) > 0 {
		return
	}
	d := all[i]
	if d.RetryAfter < time.Second || d.Name == "" {
		p.Fatalf("denied without a retry or a name: %+v", d)
	}
	time.Sleep(d.RetryAfter)
	again, err := p.AllowAll(p.Context(), p.requests)
	if err != nil || !again.Allowed {
		p.Fatalf("after %s: got %+v, %v; want it admitted", d.RetryAfter, again, err)
	}
	for _, m := range p.models {
		m.advance(time.Now())
		m.charge(1)
	}
}

func TestAllowAll_AgreesWithTheModel(t *testing.T) {
	for name, without := range map[string]bool{"redis": false, "local": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMiniLimiter(t)
				if without {
					l.Close() // so that nothing probes Redis during years of the bubble's clock
				}
				denied, seeds := 0, uint64(50)
				for seed := range seeds {
					p := newProperty(t, l, seed)
					for range 60 {
						denied += p.step()
					}
				}
				if denied < 1000 || denied > 9000 {
					t.Errorf("%d denied: the test is no longer about both", denied)
				}
			})
		})
	}
}

func TestQuota_EndsWithItsPeriod(t *testing.T) {
	for _, calendar := range []limit.Calendar{limit.Day, limit.Month} {
		synctest.Test(t, func(t *testing.T) { // begins in the year 2000
			l := newMiniLimiter(t)
			random := rand.New(rand.NewPCG(3, 4))
			for range 800 {
				time.Sleep(time.Duration(random.Int64N(int64(26 * 24 * time.Hour))))
				r := another()
				r.Limit = limit.Limit{Rate: 2, Burst: 2, Calendar: calendar}
				_, ends := calendar.Bounds(time.Now())
				d := allow(t, l, r)
				if left := time.Until(ends); d.Remaining != 1 || (d.ResetAfter-left).Abs() > time.Microsecond {
					t.Fatalf("at %s: got %+v, want %s left", time.Now().UTC(), d, left)
				}
			}
		})
	}
}

// What was used on a clock that has been set back still counts: a quota is not granted twice. It
// ends with the period in which it was used, or else, if that is not the next one, with this one.
func TestQuota_ClockIsSetBackOverABoundary(t *testing.T) {
	for days, want := range map[int]int{1: 1, 2: 2, 3: 1, 400: 1} { // until the midnight of the stored value
		withClockTest(t, func(c *clockTest) {
			c.request.Limit = limit.Limit{Rate: 2, Burst: 2, Calendar: limit.Day}
			_, midnight := limit.Day.Bounds(time.Now())
			value := fmt.Sprintf("2 %d", midnight.AddDate(0, 0, days-1).Unix())
			key := keyOf(c.request)
			if err := c.upstream.client.Load().Set(c.Context(), key, value, 0).Err(); err != nil {
				c.Fatal(err)
			}
			d := allow(c, c.Limiter, c.request)
			left := time.Until(midnight.AddDate(0, 0, want-1))
			if d.Allowed || d.Source != FromRedis || d.ResetAfter != left {
				c.Errorf("%d days: got %+v, want a denial for %s", days, d, left)
			}
		})
	}
}
