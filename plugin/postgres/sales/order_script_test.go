package sales_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// script makes up what happens to a shop: everything follows from its seed but the ids of sales.
type script struct {
	*rand.Rand
	edges   int
	joint   int                // percent of the sales with another's key or id that join two customers
	sales   []*sale.Sale       // so far
	doubled map[uuid.UUID]bool // ids of sales in both workspaces
	keys    map[string]int     // of each workspace: both have the same
	count   int                // of unique values
}

func newScript(seed uint64, edges, joint int) *script {
	return &script{
		Rand: rand.New(rand.NewPCG(seed, 0)), edges: edges, joint: joint,
		doubled: map[uuid.UUID]bool{}, keys: map[string]int{},
	}
}

func (s *script) chance(percent int) bool { return s.IntN(100) < percent }

func pick[T any](s *script, from ...T) T { return from[s.IntN(len(from))] }

func (s *script) unique(what string) string {
	s.count++
	return fmt.Sprint(what, s.count)
}

// populate gives the shop customers for so many sales, and them leads: good ones and all kinds that earn nothing.
func (s *script) populate(shop *shop, sales int, adopted bool) {
	shop.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at) VALUES ('x2', 'w2', 'https://example.com/y', 'https://hoko.to/y', '2024-01-01')`)
	shop.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('y2', 'w2', 'x2'), ('y3', 'w2', 'l1')`)
	shop.Exec(guardSQL)
	for _, name := range names(sales) {
		if s.chance(40) {
			continue
		}
		id := s.uuid()
		shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, phone, avatar, deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			id, name.workspace, name.external, pick(s, nil, ptr("n0"), ptr("n0")), s.stored("e0"), s.stored("p0"), s.stored("a0"), pick(s, nil, nil, ptr("2024-01-01")))
		for range s.IntN(4) {
			s.lead(shop, name.workspace, id)
		}
	}
	if adopted {
		shop.Exec(adoptSQL)
	}
}

func (s *script) uuid() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(s.Uint32())
	}
	return id.String()
}

// grow gives one of the present customers another lead.
func (s *script) grow(shop *shop, l ledger) {
	name := s.name()
	if customer, known := l.customers[name]; known {
		s.lead(shop, name.workspace, customer.id)
	}
}

func (s *script) stored(value string) *string { return pick(s, nil, &value) }

func (s *script) lead(shop *shop, workspace, customer string) {
	if s.chance(5) {
		workspace = pick(s, "w1", "w2")
	}
	shop.Exec(`INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7))`,
		s.unique("lead"), workspace, customer, pick(s, nil, ptr("purged"), ptr("c1"), ptr("y1")), s.link(workspace), s.event(), s.IntN(4))
}

func (s *script) event() string { return pick(s, "Signup", "Demo") }

// link is seldom one that is missing or another workspace's.
func (s *script) link(workspace string) string {
	if s.chance(10) {
		return "none"
	}
	return s.mostlyOf(workspace, []string{"l1", "l2"}, []string{"x1", "x2"})
}

// mostlyOf a workspace, and now and then of the other, is one of what w1 and w2 have.
func (s *script) mostlyOf(workspace string, w1, w2 []string) string {
	has := map[string][]string{"w1": w1, "w2": w2}
	if s.chance(10) {
		has["w1"], has["w2"] = w2, w1
	}
	return pick(s, has[workspace]...)
}

// generation is how many sales are made to the same few customers. Then come others: a search for the order of
// sales takes its time where many are in doubt.
const generation = 64

// names are all customers for so many sales; both workspaces have the same.
func names(sales int) (all []customerName) {
	for i := range sales/generation + 1 {
		all = append(all, generationNames(i)...)
	}
	return all
}

func generationNames(i int) (all []customerName) {
	for _, workspace := range []string{"w1", "w2"} {
		all = append(all, customerName{workspace, fmt.Sprint("a", i)}, customerName{workspace, fmt.Sprint("b", i)})
	}
	return all
}

func (s *script) name() customerName { return pick(s, generationNames(len(s.sales)/generation)...) }

// sale is the next one. Often it has to do with one of the last few, which may still be under way.
func (s *script) sale(recent int) saleAct {
	next := s.newSale()
	if len(s.sales) > 0 && s.chance(40) {
		last := s.sales[max(0, len(s.sales)-1-s.IntN(recent))]
		next = s.related(last, next)
	}
	if next.IdempotencyKey != "" {
		next.Fingerprint = next.Request.Fingerprint()
	}
	s.sales = append(s.sales, next)
	return saleAct{next, s.IntN(s.edges)}
}

// related is a sale that has to do with last, or next as it is.
func (s *script) related(last, next *sale.Sale) *sale.Sale {
	here, key := last.WorkspaceID == next.WorkspaceID, last.IdempotencyKey
	switch roll := s.IntN(20); {
	case roll < 5 && !s.doubled[last.ID]: // again, as after an answer that was lost
		return last
	case roll < 11: // with a key, it is for the first of them alone
		return s.twin(last)
	case roll < 18 && key != "" && here: // another request with its key
		keyed(key)(next)
		if !s.chance(s.joint) {
			next.Request.CustomerExternalID = last.Request.CustomerExternalID
		}
	case roll == 19 && s.chance(s.joint) && !here && !s.doubled[last.ID]:
		as(last.ID)(next)
		s.doubled[last.ID] = true
	}
	return next
}

// twin is the same request once more, metadata perhaps spelled otherwise.
func (s *script) twin(first *sale.Sale) *sale.Sale {
	twin, request := *first, *first.Request
	twin.ID, twin.Request = uuid.Must(uuid.NewV7()), &request
	for _, other := range slices.Sorted(maps.Keys(asJSONB)) {
		if other != "" && asJSONB[other] == asJSONB[string(first.Request.Metadata)] && s.chance(50) {
			request.Metadata = []byte(other)
		}
	}
	return &twin
}

func (s *script) newSale() *sale.Sale {
	name := s.name()
	next := sell(name.external, inWorkspace(name.workspace), named(pick(s, "", "n0", "n0", "n1", s.unique("n"))), costing(s.Int64N(1000)),
		mailing(s.optional("e")), pictured(s.optional("a")), byClick(s.click(name.workspace)))
	if s.chance(40) {
		byLead(pick(s, "Signup", "Demo", "signup"))(next)
	}
	if s.chance(25) {
		s.keys[name.workspace]++
		keyed(fmt.Sprint("key", s.keys[name.workspace]))(next)
	}
	next.Request.Currency = pick(s, "usd", "eur")
	next.Request.EventName = pick(s, "Purchase", "")
	if metadata := pick(s, "", "", `{}`, `{"a":1,"b":[2.0]}`, `{"b":[2.00],"a":1}`, `{"a":"\u00e4\n","b":1}`); metadata != "" {
		noting(metadata)(next)
	}
	return next
}

func (s *script) optional(prefix string) sale.Optional {
	switch roll := s.IntN(10); {
	case roll < 5:
		return keep
	case roll < 6:
		return clear
	case roll < 8:
		return set(pick(s, prefix+"0", prefix+"1"))
	}
	return set(s.unique(prefix))
}

// click is often none, or one that earns nothing.
func (s *script) click(workspace string) string {
	switch roll := s.IntN(10); {
	case roll < 3:
		return ""
	case roll < 4:
		return pick(s, "none", "purged", "c3", "c4", "y3")
	}
	return s.mostlyOf(workspace, []string{"c1", "c2"}, []string{"y1", "y2"})
}

// change is something that the site does. Where it holds a customer, sales skip it, or wait for it in the slow lane.
func (s *script) change() siteAct {
	kind := pick(s, "look", "look", "call", "call", "call", "delete", "delete", "rename", "rename", "move", "move", "purge", "create", "create")
	return siteAct{
		kind: kind, customer: s.name(), value: s.unique("site"), aborted: s.chance(20), after: len(s.sales),
		hold: time.Duration(pick(s, 0, 0, 3, 20, 40, 70)) * time.Millisecond,
	}
}

// act is a sale, or now and then a change of the site's.
func (s *script) act() act {
	if s.chance(12) {
		return s.change()
	}
	return s.sale(5)
}

// parallel deals n sales to callers, and changes to sites, all of whom do theirs one by one and at the same time.
func (s *script) parallel(callers, sites, n int) (sales, changes [][]act) {
	sales, changes = make([][]act, callers), make([][]act, sites)
	for i := range n {
		sales[i%callers] = append(sales[i%callers], s.sale(callers))
		if s.chance(12) {
			changes[i%sites] = append(changes[i%sites], s.change())
		}
	}
	return sales, changes
}
