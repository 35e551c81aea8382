package order_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// script generates acts. All but the sales' IDs follows from its seed.
type script struct {
	*rand.Rand
	edges   int
	joint   int                // percent of the sales with another's key or ID that join two customers
	sales   []*sale.Sale       // so far
	doubled map[uuid.UUID]bool // IDs of sales in both workspaces
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

// populate creates customers for this many sales, with leads: valid ones and all kinds that
// attribute nothing.
func (s *script) populate(shop *pgtest.Shop, sales int, adopted bool) {
	shop.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at)
		VALUES ('x2', 'w2', 'https://example.com/y', 'https://hoko.to/y', '2024-01-01')`)
	shop.Exec(`INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('y2', 'w2', 'x2'), ('y3', 'w2', 'l1')`)
	shop.Exec(guardSQL)
	for _, name := range names(sales) {
		if s.chance(40) {
			continue
		}
		id := s.uuid()
		shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, phone, avatar, deleted_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			id, name.workspace, name.external, pick(s, nil, new("n0"), new("n0")), s.stored("e0"), s.stored("p0"),
			s.stored("a0"), pick(s, nil, nil, new("2024-01-01")))
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

func (s *script) grow(shop *pgtest.Shop, l ledger) {
	name := s.name()
	if customer, known := l.customers[name]; known {
		s.lead(shop, name.workspace, customer.id)
	}
}

func (s *script) stored(value string) *string { return pick(s, nil, &value) }

func (s *script) lead(shop *pgtest.Shop, workspace, customer string) {
	if s.chance(5) {
		workspace = pick(s, "w1", "w2")
	}
	shop.Exec(`INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7))`,
		s.unique("lead"), workspace, customer, pick(s, nil, new("purged"), new("c1"), new("y1")), s.link(workspace),
		s.event(), s.IntN(4))
}

func (s *script) event() string { return pick(s, "Signup", "Demo") }

// link rarely returns a missing link or one of another workspace.
func (s *script) link(workspace string) string {
	if s.chance(10) {
		return "none"
	}
	return s.mostlyOf(workspace, []string{"l1", "l2"}, []string{"x1", "x2"})
}

// mostlyOf returns one of the workspace's values, and rarely one of the other workspace's.
func (s *script) mostlyOf(workspace string, w1, w2 []string) string {
	has := map[string][]string{"w1": w1, "w2": w2}
	if s.chance(10) {
		has["w1"], has["w2"] = w2, w1
	}
	return pick(s, has[workspace]...)
}

// generation is how many sales the same few customers have. Then others follow, since a search with
// many uncertain sales takes long.
const generation = 64

// names returns all customers for this many sales. Both workspaces have the same names.
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

// sale returns the next sale. It is often related to one of the last few, which may still be under
// way.
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

// related returns a sale that shares an ID, key or request with last, or next unchanged.
func (s *script) related(last, next *sale.Sale) *sale.Sale {
	here, key := last.WorkspaceID == next.WorkspaceID, last.IdempotencyKey
	switch roll := s.IntN(20); {
	case roll < 5 && !s.doubled[last.ID]: // again, as after a lost answer
		return last
	case roll < 11: // with a key, for the first only
		return s.duplicate(last)
	case roll < 18 && key != "" && here: // another request with its key
		pgtest.WithKey(key)(next)
		if !s.chance(s.joint) {
			next.Request.CustomerExternalID = last.Request.CustomerExternalID
		}
	case roll == 19 && s.chance(s.joint) && !here && !s.doubled[last.ID]:
		pgtest.WithID(last.ID)(next)
		s.doubled[last.ID] = true
	}
	return next
}

// duplicate returns the same request again, perhaps with other spelling of the metadata.
func (s *script) duplicate(first *sale.Sale) *sale.Sale {
	duplicate, request := *first, *first.Request
	duplicate.ID, duplicate.Request = uuid.Must(uuid.NewV7()), &request
	for _, other := range slices.Sorted(maps.Keys(asJSONB)) {
		if other != "" && asJSONB[other] == asJSONB[string(first.Request.Metadata)] && s.chance(50) {
			request.Metadata = []byte(other)
		}
	}
	return &duplicate
}

func (s *script) newSale() *sale.Sale {
	name := s.name()
	next := pgtest.Sell(name.external, pgtest.InWorkspace(name.workspace),
		pgtest.WithName(pick(s, "", "n0", "n0", "n1", s.unique("n"))), pgtest.WithAmount(s.Int64N(1000)),
		pgtest.WithEmail(s.optional("e")), pgtest.WithAvatar(s.optional("a")), pgtest.ByClick(s.click(name.workspace)))
	if s.chance(40) {
		pgtest.ByLead(pick(s, "Signup", "Demo", "signup"))(next)
	}
	if s.chance(25) {
		s.keys[name.workspace]++
		pgtest.WithKey(fmt.Sprint("key", s.keys[name.workspace]))(next)
	}
	next.Request.Currency = pick(s, "usd", "eur")
	next.Request.EventName = pick(s, "Purchase", "")
	metadata := pick(s, "", "", `{}`, `{"a":1,"b":[2.0]}`, `{"b":[2.00],"a":1}`, `{"a":"\u00e4\n","b":1}`)
	if metadata != "" {
		pgtest.WithMetadata(metadata)(next)
	}
	return next
}

func (s *script) optional(prefix string) sale.Optional {
	switch roll := s.IntN(10); {
	case roll < 5:
		return pgtest.Keep
	case roll < 6:
		return pgtest.Clear
	case roll < 8:
		return pgtest.Set(pick(s, prefix+"0", prefix+"1"))
	}
	return pgtest.Set(s.unique(prefix))
}

// click often returns none, or one that attributes nothing.
func (s *script) click(workspace string) string {
	switch roll := s.IntN(10); {
	case roll < 3:
		return ""
	case roll < 4:
		return pick(s, "none", "purged", "c3", "c4", "y3")
	}
	return s.mostlyOf(workspace, []string{"c1", "c2"}, []string{"y1", "y2"})
}

// change returns an act of the site. While it holds a customer, sales skip it or wait in the slow
// lane.
func (s *script) change() siteAct {
	kind := pick(s, "look", "look", "call", "call", "call", "delete", "delete", "rename", "rename", "move", "move",
		"purge", "create", "create")
	return siteAct{
		kind: kind, customer: s.name(), value: s.unique("site"), aborted: s.chance(20), after: len(s.sales),
		hold: time.Duration(pick(s, 0, 0, 3, 20, 40, 70)) * time.Millisecond,
	}
}

// act returns a sale, or rarely a change by the site.
func (s *script) act() act {
	if s.chance(12) {
		return s.change()
	}
	return s.sale(5)
}

// parallel distributes n sales over callers, and changes over sites. All run at the same time, each
// one by one.
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

// siteAct is what the site does to a customer in one transaction, which may hold it for a while or
// be rolled back.
type siteAct struct {
	kind     string
	customer customerName
	value    string // if the kind needs one; unique
	hold     time.Duration
	aborted  bool
	after    int // this many sales
}

// siteKinds describe the site's acts in SQL and for the model. The SQL returns the customer's row.
var siteKinds = map[string]struct {
	sql    string
	change func(c *customerRow, name *customerName, value string)
}{
	"look": {"SELECT %[1]s FROM hoko.customers %[2]s", func(*customerRow, *customerName, string) {}},
	"call": {"UPDATE hoko.customers SET phone = $3, email = $3 %[2]s RETURNING %[1]s",
		func(c *customerRow, _ *customerName, v string) { c.phone, c.email = v, v }},
	"delete": {"UPDATE hoko.customers SET deleted_at = now() %[2]s RETURNING %[1]s",
		func(c *customerRow, _ *customerName, _ string) { c.deleted = true }},
	"rename": {"UPDATE hoko.customers SET external_id = $3 %[2]s RETURNING %[1]s",
		func(_ *customerRow, n *customerName, v string) { n.external = v }},
	"move": {"UPDATE hoko.customers SET workspace_id = $3 %[2]s RETURNING %[1]s",
		func(_ *customerRow, n *customerName, v string) { n.workspace = v }},
	"purge": {"DELETE FROM hoko.customers %[2]s RETURNING %[1]s",
		func(_ *customerRow, n *customerName, _ string) { *n = noCustomer }},
	// The only kind for a customer that does not exist.
	"create": {`INSERT INTO hoko.customers (workspace_id, external_id, phone) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING RETURNING %[1]s`,
		func(c *customerRow, _ *customerName, v string) { c.phone = v }},
}

const (
	customerColumns = "id, coalesce(name, 'null'), coalesce(email, 'null'), coalesce(phone, 'null'), " +
		"coalesce(avatar, 'null'), deleted_at IS NOT NULL"
	customerSought = "WHERE workspace_id = $1 AND external_id = $2 AND $3 <> ''"
)

var noCustomer customerName

func (a siteAct) perform(s *stage) answer {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
	defer cancel()
	var told answer
	err := pgx.BeginFunc(ctx, s.site.Conn, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, fmt.Sprintf(siteKinds[a.kind].sql, customerColumns, customerSought),
			a.customer.workspace, a.customer.external, a.value).
			Scan(told.customer.columns()...)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_sleep($1)", a.hold.Seconds()); err != nil {
			return err
		}
		if a.aborted {
			return errAborted
		}
		return nil
	})
	switch {
	case errors.Is(err, errAborted):
		return answer{}
	case err != nil:
		return answer{result: err.Error()}
	}
	return told
}

var errAborted = errors.New("aborted")

func (a siteAct) step(_ *world, l ledger, told answer) (answer, ledger) {
	c, known := l.customers[a.customer]
	if a.aborted || known == (a.kind == "create") {
		return answer{}, l
	}
	if !known {
		c = newcomer
		c.id = told.customer.id
	}
	name := a.customer
	siteKinds[a.kind].change(&c, &name, a.value)
	l.customers = maps.Clone(l.customers)
	delete(l.customers, a.customer)
	if name != noCustomer {
		l.customers[name] = c
	}
	return answer{customer: c}, l
}

func (a siteAct) touches() (all []any) {
	for _, name := range a.names() {
		all = append(all, name)
	}
	return all
}

func (a siteAct) names() []customerName {
	return []customerName{a.customer, {a.customer.workspace, a.value}, {a.value, a.customer.external}}
}

func (a siteAct) String() string {
	return fmt.Sprintf("site: %s %s/%s %s, held for %v, aborted %v", a.kind, a.customer.workspace, a.customer.external,
		a.value, a.hold, a.aborted)
}
