package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// forgery is a journal and tables that agree, until somebody changes them.
type forgery struct {
	sales  map[string]*sale
	tables tables
	clock  time.Time
}

func newForgery() *forgery {
	f := &forgery{sales: map[string]*sale{}, clock: time.Unix(1_700_000_000, 0)}
	lost := &attempt{err: errors.New("EOF")}
	f.sell("retried", "order 1", lost, f.recorded("id-1", true), f.recorded("id-1", true))
	f.record("retried", "id-1", 0)
	f.sell("second try", "", &attempt{status: 503}, f.recorded("id-2", false))
	f.record("second try", "id-2", 1)
	f.sell("timed out", "", &attempt{status: 504, saleID: "id-3"})
	f.record("timed out", "id-3", 0)
	f.sell("vanished", "", &attempt{err: errors.New("EOF")})
	f.sell("given up", "order 2", &attempt{status: 503}, &attempt{err: errors.New("refused"), unsent: true}, &attempt{status: 429})
	f.sell("unattributed", "order 3", &attempt{status: 400}).fate = unattributed
	f.sell("mismatched", "order 1", &attempt{status: 503}, &attempt{status: 422}).fate = mismatched
	return f
}

// sell enters a sale with its attempts, each a second after the other.
func (f *forgery) sell(id, key string, tries ...*attempt) *sale {
	tenant := tenants[0]
	s := &sale{
		id: id, key: key, tenant: tenant, earner: tenant.byClick(), customer: "customer of " + id, version: "v1",
		amount: 100, currency: "usd", event: "Purchase", attempts: tries,
	}
	f.sales[id] = s
	for i, a := range tries {
		a.start = f.clock
		f.clock = f.clock.Add(time.Second)
		a.end = f.clock
		switch a.status {
		case 201:
			a.body = s.answer(i)
		case 429, 503:
			a.wait = time.Second
		}
	}
	return s
}

func (f *forgery) recorded(saleID string, replied bool) *attempt {
	return &attempt{status: 201, saleID: saleID, earned: "click", replied: replied}
}

// answer is the body of a 201, as far as it is audited.
func (s *sale) answer(attempt int) string {
	return fmt.Sprintf(`{"click":{"id":%q},"link":{"id":%q},"customer":{"id":%q,"name":%q,"email":%q,"avatar":%q,"externalId":%q},
		"sale":{"amount":%d,"currency":%q,"eventName":%q,"metadata":%s}}`,
		s.earner.clickID, s.tenant.link(), "id of "+s.customer, nameOf(s.version), emailOf(s.version), avatarOf(s.version), s.customer,
		s.amount, s.currency, s.event, s.metadata(attempt))
}

// record writes the rows of a sale.
func (f *forgery) record(id, saleID string, attempt int) {
	s := f.sales[id]
	f.tables.sales = append(f.tables.sales, saleRow{
		id: saleID, workspace: s.tenant.workspace, customer: s.customer, customerID: "id of " + s.customer,
		clickID: s.earner.clickID, linkID: s.tenant.link(), attribution: s.earner.attribution,
		amount: s.amount, currency: s.currency, event: s.event, journal: s.id, attempt: attempt,
	})
	f.tables.customers = append(f.tables.customers, customerRow{
		"id of " + s.customer, s.tenant.workspace, s.customer, nameOf(s.version), emailOf(s.version), avatarOf(s.version),
	})
	if s.key != "" {
		f.tables.keys = append(f.tables.keys, keyRow{s.tenant.workspace, s.key, saleID})
	}
}

func (f *forgery) row(saleID string) *saleRow {
	return &f.tables.sales[slices.IndexFunc(f.tables.sales, func(row saleRow) bool { return row.id == saleID })]
}

func (f *forgery) customer(id string) *customerRow {
	return &f.tables.customers[slices.IndexFunc(f.tables.customers, func(row customerRow) bool { return row.external == "customer of "+id })]
}

func (f *forgery) forget(saleID string) {
	f.tables.sales = slices.DeleteFunc(f.tables.sales, func(row saleRow) bool { return row.id == saleID })
	f.tables.keys = slices.DeleteFunc(f.tables.keys, func(row keyRow) bool { return row.saleID == saleID })
}

func (f *forgery) audit() []discrepancy {
	var sales []*sale
	for _, s := range f.sales {
		sales = append(sales, s)
	}
	return audit(sales, f.tables)
}

func TestLedgerAuditFindsNothingWhereAllIsRight(t *testing.T) {
	for _, d := range newForgery().audit() {
		t.Error(d)
	}
}

func TestLedgerAuditFinds(t *testing.T) {
	for name, c := range map[string]struct {
		forge func(*forgery)
		want  string
	}{
		"a lost sale":                           {func(f *forgery) { f.forget("id-1") }, "it was answered 201 and is lost"},
		"a lost sale without a key":             {func(f *forgery) { f.forget("id-2") }, "it was answered 201 and is lost"},
		"a doubled sale":                        {func(f *forgery) { f.record("retried", "id-9", 0) }, "it is recorded 2 times"},
		"a doubled sale without a key":          {func(f *forgery) { f.record("timed out", "id-9", 0) }, "it is recorded 2 times"},
		"a sale that was answered 503":          {func(f *forgery) { f.record("given up", "id-9", 0) }, "no answer leaves room for it"},
		"an attempt that was answered 503":      {func(f *forgery) { f.record("second try", "id-9", 0) }, "no answer leaves room for it"},
		"a sale that was answered 400":          {func(f *forgery) { f.record("unattributed", "id-9", 0) }, "it had to be refused and is recorded"},
		"a sale that was answered 422":          {func(f *forgery) { f.record("mismatched", "id-9", 0) }, "it had to be refused and is recorded"},
		"a mismatch that was answered 201":      {func(f *forgery) { f.sales["mismatched"].attempts[1] = f.recorded("id-1", true) }, "it was answered 201"},
		"an outage answered 401":                {func(f *forgery) { f.sales["vanished"].attempts[0].status = 401 }, "it was answered 401"},
		"an outage answered 500":                {func(f *forgery) { f.sales["vanished"].attempts[0].status = 500 }, "it was answered 500"},
		"an outage answered 400":                {func(f *forgery) { f.sales["second try"].attempts[0].status = 400 }, "it was answered 400"},
		"a 503 that does not say when to retry": {func(f *forgery) { f.sales["given up"].attempts[0].wait = 0 }, "503 without Retry-After"},
		"a sale that nobody sent":               {func(f *forgery) { f.record("retried", "id-9", 0); f.row("id-9").journal = "?" }, "nobody has sent"},
		"an attempt that nobody made":           {func(f *forgery) { f.row("id-3").attempt = 1 }, "nobody has sent"},
		"a 201 under another id":                {func(f *forgery) { f.sales["second try"].attempts[1].saleID = "id-3" }, "answered with sale id-3, which is not it"},
		"a 504 under another id":                {func(f *forgery) { f.sales["timed out"].attempts[0].saleID = "id-2" }, "answered 504 with sale \"id-2\", which is not it"},
		"a 504 that names no sale":              {func(f *forgery) { f.sales["timed out"].attempts[0].saleID = "" }, "answered 504 with sale \"\""},
		"a 504's sale recorded under another":   {func(f *forgery) { f.sales["timed out"].attempts[0].saleID = "id-9" }, "answered 504 with sale id-9, and is recorded as id-3"},
		"another amount":                        {func(f *forgery) { f.row("id-3").amount++ }, "it is recorded as"},
		"another customer":                      {func(f *forgery) { f.row("id-3").customer = "customer of retried" }, "it is recorded as"},
		"another workspace":                     {func(f *forgery) { f.row("id-3").workspace = tenants[1].workspace }, "it is recorded as"},
		"another attribution":                   {func(f *forgery) { f.row("id-3").attribution = "latest-lead" }, "it is recorded as"},
		"an answer of another amount":           {func(f *forgery) { f.row("id-2").amount++; f.sales["second try"].amount++ }, "attempt 1 shows"},
		"an answer of another attribution":      {func(f *forgery) { f.sales["second try"].attempts[1].earned = "latest-lead" }, "by latest-lead"},
		"replays of different bytes":            {func(f *forgery) { f.sales["retried"].attempts[2].body += " " }, "its answers differ"},
		"replays of different sales":            {func(f *forgery) { f.sales["retried"].attempts[2].saleID = "id-2" }, "its answers differ"},
		"replays of different attributions":     {func(f *forgery) { f.sales["retried"].attempts[2].earned = "lead-event" }, "its answers differ"},
		"two first answers": {func(f *forgery) {
			f.sales["retried"].attempts[1].replied, f.sales["retried"].attempts[2].replied = false, false
		}, "2 of its answers say that they are no replay"},
		"a replay of what was answered 503": {func(f *forgery) {
			f.sales["retried"].attempts[0].status = 503
			f.sales["retried"].attempts[0].wait = time.Second
		}, "a replay of nothing"},
		"an outcome that stays unknown": {func(f *forgery) { f.sales["retried"].attempts = f.sales["retried"].attempts[:1] }, "never learned what became of it"},
		"a torn customer":               {func(f *forgery) { f.customer("retried").email = emailOf("v2") }, "customer torn"},
		"a customer of an earlier time": {func(f *forgery) { *f.customer("retried") = f.customer("retried").as("v2") }, "customer torn"},
		"a customer that no sale made": {func(f *forgery) {
			f.tables.customers = append(f.tables.customers, customerRow{"id", tenants[0].workspace, "customer of unattributed", "", "", ""})
		}, "no sale made this customer"},
		"a key without its sale": {func(f *forgery) {
			f.tables.keys = append(f.tables.keys, keyRow{tenants[0].workspace, "order 2", "id-9"})
		}, "belongs to no sale"},
		"a key of another sale":  {func(f *forgery) { f.tables.keys[0].saleID = "id-3" }, "belongs to no sale"},
		"a sale without its key": {func(f *forgery) { f.tables.keys = nil }, "is not remembered"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForgery()
			c.forge(f)
			found := f.audit()
			if !slices.ContainsFunc(found, func(d discrepancy) bool { return strings.Contains(d.what, c.want) }) {
				t.Errorf("it finds %v", found)
			}
		})
	}
}

func (c customerRow) as(version string) customerRow {
	c.name, c.email, c.avatar = nameOf(version), emailOf(version), avatarOf(version)
	return c
}

func TestLedgerScheduleIsThatOfItsSeedAndHoldsEveryFault(t *testing.T) {
	one, same, other := newSchedule(1, 100, ""), newSchedule(1, 100, ""), newSchedule(2, 100, "")
	if !slices.Equal(one, same) || slices.Equal(one, other) {
		t.Errorf("seed 1: %v\nagain: %v\nseed 2: %v", one, same, other)
	}
	struck := map[string]bool{}
	for _, step := range newSchedule(3, len(allFaults), "") {
		struck[step.String()] = true
	}
	if len(struck) != len(allFaults) {
		t.Errorf("%d of %d faults: %v", len(struck), len(allFaults), keysOf(struck))
	}
}
