package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixture is a journal and tables that agree until a test corrupts them.
type fixture struct {
	sales  map[string]*sale
	tables tables
	clock  time.Time
}

func newFixture() *fixture {
	f := &fixture{sales: map[string]*sale{}, clock: time.Unix(1_700_000_000, 0)}
	lost := &attempt{err: errors.New("EOF")}
	f.sell("retried", "order 1", lost, f.recorded("id-1", true), f.recorded("id-1", true))
	f.record("retried", "id-1", 0)
	f.sell("second try", "", &attempt{status: 503}, f.recorded("id-2", false))
	f.record("second try", "id-2", 1)
	f.sell("timed out", "", &attempt{status: 504, saleID: "id-3"})
	f.record("timed out", "id-3", 0)
	f.sell("vanished", "", &attempt{err: errors.New("EOF")})
	f.sell("given up", "order 2", &attempt{status: 503}, &attempt{err: errors.New("refused"), unsent: true},
		&attempt{status: 429})
	f.sell("unattributed", "order 3", &attempt{status: 400}).fate = unattributed
	f.sell("mismatched", "order 1", &attempt{status: 503}, &attempt{status: 422}).fate = mismatched
	return f
}

// sell adds a sale to the journal. Its attempts last a second each.
func (f *fixture) sell(id, key string, tries ...*attempt) *sale {
	workspace := workspaces[0]
	s := &sale{
		id: id, key: key, workspace: workspace, source: workspace.byClick(), customer: "customer of " + id,
		version: "v1", amount: 100, currency: "usd", event: "Purchase", attempts: tries,
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

func (f *fixture) recorded(saleID string, replied bool) *attempt {
	return &attempt{status: 201, saleID: saleID, attribution: "click", replied: replied}
}

// answer returns the body of a 201, as far as the audit reads it.
func (s *sale) answer(attempt int) string {
	return fmt.Sprintf(`{"click":{"id":%q},"link":{"id":%q},
		"customer":{"id":%q,"name":%q,"email":%q,"avatar":%q,"externalId":%q},
		"sale":{"amount":%d,"currency":%q,"eventName":%q,"metadata":%s}}`, s.source.clickID, s.workspace.link(),
		"id of "+s.customer, nameOf(s.version), emailOf(s.version), avatarOf(s.version), s.customer,
		s.amount, s.currency, s.event, s.metadata(attempt))
}

func (f *fixture) record(id, saleID string, attempt int) {
	s := f.sales[id]
	f.tables.sales = append(f.tables.sales, saleRow{
		id: saleID, workspace: s.workspace.id, customer: s.customer, customerID: "id of " + s.customer,
		clickID: s.source.clickID, linkID: s.workspace.link(), attribution: s.source.attribution,
		amount: s.amount, currency: s.currency, event: s.event, journal: s.id, attempt: attempt,
	})
	f.tables.customers = append(f.tables.customers, customerRow{
		"id of " + s.customer, s.workspace.id, s.customer,
		nameOf(s.version), emailOf(s.version), avatarOf(s.version),
	})
	if s.key != "" {
		f.tables.keys = append(f.tables.keys, keyRow{s.workspace.id, s.key, saleID})
	}
}

func (f *fixture) try(id string, attempt int) *attempt { return f.sales[id].attempts[attempt] }

func (f *fixture) row(saleID string) *saleRow {
	return &f.tables.sales[slices.IndexFunc(f.tables.sales, func(row saleRow) bool { return row.id == saleID })]
}

func (f *fixture) customer(id string) *customerRow {
	return &f.tables.customers[slices.IndexFunc(f.tables.customers,
		func(row customerRow) bool { return row.external == "customer of "+id })]
}

func (f *fixture) forget(saleID string) {
	f.tables.sales = slices.DeleteFunc(f.tables.sales, func(row saleRow) bool { return row.id == saleID })
	f.tables.keys = slices.DeleteFunc(f.tables.keys, func(row keyRow) bool { return row.saleID == saleID })
}

func (f *fixture) audit() []discrepancy {
	var sales []*sale
	for _, s := range f.sales {
		sales = append(sales, s)
	}
	return audit(sales, f.tables)
}

func TestLedgerAudit_FindsNothingIfAllAgrees(t *testing.T) {
	for _, d := range newFixture().audit() {
		t.Error(d)
	}
}

func TestLedgerAudit_FindsEachDiscrepancy(t *testing.T) {
	for _, c := range []struct {
		name, want string
		corrupt    func(*fixture)
	}{
		{"a lost sale", "201 and is lost", func(f *fixture) { f.forget("id-1") }},
		{"a lost sale without a key", "201 and is lost", func(f *fixture) { f.forget("id-2") }},
		{"a duplicate sale", "recorded 2 times", func(f *fixture) { f.record("retried", "id-9", 0) }},
		{"a duplicate sale without a key", "recorded 2 times", func(f *fixture) { f.record("timed out", "id-9", 0) }},
		{"a sale answered 503", "rules it out", func(f *fixture) { f.record("given up", "id-9", 0) }},
		{"an attempt answered 503", "rules it out", func(f *fixture) { f.record("second try", "id-9", 0) }},
		{"a sale answered 400", "had to be rejected", func(f *fixture) { f.record("unattributed", "id-9", 0) }},
		{"a sale answered 422", "had to be rejected", func(f *fixture) { f.record("mismatched", "id-9", 0) }},
		{"a mismatch answered 201", "answered 201",
			func(f *fixture) { f.sales["mismatched"].attempts[1] = f.recorded("id-1", true) }},
		{"an outage answered 401", "answered 401", func(f *fixture) { f.try("vanished", 0).status = 401 }},
		{"an outage answered 500", "answered 500", func(f *fixture) { f.try("vanished", 0).status = 500 }},
		{"an outage answered 400", "answered 400", func(f *fixture) { f.try("second try", 0).status = 400 }},
		{"no Retry-After", "503 without Retry-After", func(f *fixture) { f.try("given up", 0).wait = 0 }},
		{"a sale that was never sent", "was never sent",
			func(f *fixture) { f.record("retried", "id-9", 0); f.row("id-9").journal = "?" }},
		{"an attempt that was never made", "was never sent", func(f *fixture) { f.row("id-3").attempt = 1 }},
		{"a 201 under another id", "201 with the wrong sale id-3",
			func(f *fixture) { f.try("second try", 1).saleID = "id-3" }},
		{"a 504 under another id", `504 with the wrong sale "id-2"`,
			func(f *fixture) { f.try("timed out", 0).saleID = "id-2" }},
		{"a 504 of no sale", `504 with the wrong sale ""`, func(f *fixture) { f.try("timed out", 0).saleID = "" }},
		{"a 504's sale recorded under another", "504 with sale id-9 and is recorded as id-3",
			func(f *fixture) { f.try("timed out", 0).saleID = "id-9" }},
		{"another amount", "recorded as", func(f *fixture) { f.row("id-3").amount++ }},
		{"another customer", "recorded as", func(f *fixture) { f.row("id-3").customer = "customer of retried" }},
		{"another workspace", "recorded as", func(f *fixture) { f.row("id-3").workspace = workspaces[1].id }},
		{"another attribution", "recorded as", func(f *fixture) { f.row("id-3").attribution = "latest-lead" }},
		{"an answer of another amount", "attempt 1 shows",
			func(f *fixture) { f.row("id-2").amount++; f.sales["second try"].amount++ }},
		{"an answer of another attribution", "by latest-lead",
			func(f *fixture) { f.try("second try", 1).attribution = "latest-lead" }},
		{"replays of different bytes", "answers differ", func(f *fixture) { f.try("retried", 2).body += " " }},
		{"replays of different sales", "answers differ", func(f *fixture) { f.try("retried", 2).saleID = "id-2" }},
		{"replays of different attributions", "answers differ",
			func(f *fixture) { f.try("retried", 2).attribution = "lead-event" }},
		{"two first answers", "2 of its answers are no replays",
			func(f *fixture) { f.try("retried", 1).replied, f.try("retried", 2).replied = false, false }},
		{"a replay of what was answered 503", "no earlier attempt can have recorded it",
			func(f *fixture) { f.try("retried", 0).status, f.try("retried", 0).wait = 503, time.Second }},
		{"an outcome that stays unknown", "never learned its outcome",
			func(f *fixture) { f.sales["retried"].attempts = f.sales["retried"].attempts[:1] }},
		{"a torn customer", "customer torn", func(f *fixture) { f.customer("retried").email = emailOf("v2") }},
		{"a customer that no sale updated", "customer torn",
			func(f *fixture) { *f.customer("retried") = f.customer("retried").as("v2") }},
		{"a customer that no sale created", "no sale created this customer", func(f *fixture) {
			f.tables.customers = append(f.tables.customers,
				customerRow{"id", workspaces[0].id, "customer of unattributed", "", "", ""})
		}},
		{"a key without its sale", "belongs to no sale", func(f *fixture) {
			f.tables.keys = append(f.tables.keys, keyRow{workspaces[0].id, "order 2", "id-9"})
		}},
		{"a key of another sale", "belongs to no sale", func(f *fixture) { f.tables.keys[0].saleID = "id-3" }},
		{"a sale without its key", "is not remembered", func(f *fixture) { f.tables.keys = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture()
			c.corrupt(f)
			found := f.audit()
			if !slices.ContainsFunc(found, func(d discrepancy) bool { return strings.Contains(d.what, c.want) }) {
				t.Errorf("the audit found %v", found)
			}
		})
	}
}

func (c customerRow) as(version string) customerRow {
	c.name, c.email, c.avatar = nameOf(version), emailOf(version), avatarOf(version)
	return c
}

func TestLedgerSchedule_ComesFromItsSeed(t *testing.T) {
	one, same, other := newSchedule(1, 100, ""), newSchedule(1, 100, ""), newSchedule(2, 100, "")
	if !slices.Equal(one, same) || slices.Equal(one, other) {
		t.Errorf("seed 1: %v\nagain: %v\nseed 2: %v", one, same, other)
	}
	scheduled := map[string]bool{}
	for _, step := range newSchedule(3, len(allFaults), "") {
		scheduled[step.String()] = true
	}
	if len(scheduled) != len(allFaults) {
		t.Errorf("%d of %d faults are scheduled: %v", len(scheduled), len(allFaults), keysOf(scheduled))
	}
}
