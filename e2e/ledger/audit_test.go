package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// discrepancy is a contradiction between the journals and the tables.
type discrepancy struct {
	what string
	sale *sale // nil if it belongs to no sale
}

func (d discrepancy) String() string {
	if d.sale == nil {
		return d.what
	}
	return d.what + "\n" + d.sale.String()
}

// auditor compares what clients were told with what the tables hold.
type auditor struct {
	sales     map[string]*sale     // by ID
	rows      map[string][]saleRow // by the journal's ID of the sale
	byID      map[string]saleRow
	remembers map[[2]string]string // sale IDs by workspace and idempotency key
	tables    tables
	found     []discrepancy
}

func audit(sales []*sale, tables tables) []discrepancy {
	a := &auditor{
		sales: map[string]*sale{}, rows: map[string][]saleRow{}, byID: map[string]saleRow{},
		remembers: map[[2]string]string{}, tables: tables,
	}
	for _, s := range sales {
		a.sales[s.id] = s
	}
	for _, row := range tables.sales {
		a.rows[row.journal] = append(a.rows[row.journal], row)
		a.byID[row.id] = row
	}
	for _, row := range tables.keys {
		a.remembers[[2]string{row.workspace, row.key}] = row.saleID
	}
	for _, s := range sales {
		a.statuses(s)
		a.number(s)
		a.answers(s)
		a.replays(s)
		a.timeouts(s)
		a.fields(s)
	}
	a.unknownRows()
	a.customers()
	a.keys()
	return a.found
}

func (a *auditor) report(s *sale, format string, args ...any) {
	a.found = append(a.found, discrepancy{fmt.Sprintf(format, args...), s})
}

// statuses checks that the sale received only statuses that it may receive.
func (a *auditor) statuses(s *sale) {
	allowed := []int{0, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout}
	switch s.fate {
	case toBeRecorded:
		allowed = append(allowed, http.StatusCreated)
	case unattributed, malformed:
		allowed = append(allowed, http.StatusBadRequest)
	case mismatched:
		allowed = append(allowed, http.StatusUnprocessableEntity)
	}
	for _, try := range s.tries() {
		if !slices.Contains(allowed, try.status) {
			a.report(s, "it was answered %d", try.status)
		}
		if (try.status == http.StatusTooManyRequests || try.status == http.StatusServiceUnavailable) &&
			try.wait < time.Second {
			a.report(s, "it was answered %d without Retry-After", try.status)
		}
	}
}

// number checks that a 201 is recorded once, a rejected sale never, and any other at most once.
func (a *auditor) number(s *sale) {
	rows := a.rows[s.id]
	switch {
	case s.fate != toBeRecorded:
		if len(rows) > 0 {
			a.report(s, "it had to be rejected and is recorded: %v", rows)
		}
	case s.key == "":
		for i, try := range s.tries() {
			a.numberOf(s, []*attempt{try}, slices.DeleteFunc(slices.Clone(rows),
				func(row saleRow) bool { return row.attempt != i }))
		}
	default:
		a.numberOf(s, s.tries(), rows)
		if s.mayExist() && len(s.answers()) == 0 {
			a.report(s, "its client never learned its outcome")
		}
	}
}

func (a *auditor) numberOf(s *sale, tries []*attempt, rows []saleRow) {
	answered := slices.ContainsFunc(tries, (*attempt).recorded)
	absent := !slices.ContainsFunc(tries, func(try *attempt) bool { return !try.absent() })
	switch {
	case len(rows) > 1:
		a.report(s, "it is recorded %d times: %v", len(rows), rows)
	case answered && len(rows) == 0:
		a.report(s, "it was answered 201 and is lost")
	case absent && len(rows) > 0:
		a.report(s, "every answer rules it out, and it is recorded: %v", rows)
	}
}

// answers checks that a 201 names the sale and shows what was sent and what is stored.
func (a *auditor) answers(s *sale) {
	for i, try := range s.tries() {
		if !try.recorded() {
			continue
		}
		row, ok := a.byID[try.saleID]
		if !ok || row.journal != s.id {
			a.report(s, "attempt %d was answered 201 with the wrong sale %s: %v", i, try.saleID, row)
			continue
		}
		var shown shownSale
		if err := json.Unmarshal([]byte(try.body), &shown); err != nil {
			a.report(s, "attempt %d: %v", i, err)
			continue
		}
		if want := s.shown(row, i); shown != want || try.attribution != row.attribution {
			a.report(s, "attempt %d shows %+v by %s\nwant %+v by %s", i, shown, try.attribution, want, row.attribution)
		}
	}
}

// shownSale is the part of a 201 that depends on the sale.
type shownSale struct {
	Click, Link struct{ ID string }
	Customer    struct{ ID, Name, Email, Avatar, ExternalID string }
	Sale        struct {
		Amount              int64
		Currency, EventName string
		Metadata            rawText
	}
}

// rawText is JSON exactly as it was sent.
type rawText string

func (r *rawText) UnmarshalJSON(text []byte) error { *r = rawText(text); return nil }

func (s *sale) shown(row saleRow, attempt int) (want shownSale) {
	want.Click.ID, want.Link.ID = row.clickID, row.linkID
	want.Customer.ID, want.Customer.ExternalID = row.customerID, s.customer
	want.Customer.Name, want.Customer.Email, want.Customer.Avatar = nameOf(s.version), emailOf(s.version),
		avatarOf(s.version)
	want.Sale.Amount, want.Sale.Currency, want.Sale.EventName = s.amount, s.currency, s.event
	want.Sale.Metadata = rawText(s.metadata(attempt))
	return want
}

// replays checks that all 201s of a sale are equal and that at most one is not a replay.
func (a *auditor) replays(s *sale) {
	var firsts int
	answers := s.answers()
	for _, answer := range answers {
		first := answers[0]
		if answer.body != first.body || answer.saleID != first.saleID || answer.attribution != first.attribution {
			a.report(s, "its answers differ")
		}
		if !answer.replied {
			firsts++
		} else if !slices.ContainsFunc(s.tries(),
			func(other *attempt) bool { return other != answer && other.before(answer.end) && !other.absent() }) {
			a.report(s, "it was answered with a replay, but no earlier attempt can have recorded it")
		}
	}
	if firsts > 1 {
		a.report(s, "%d of its answers are no replays", firsts)
	}
}

func (a *attempt) before(end time.Time) bool { return a.start.Before(end) }

// timeouts checks that the sale that a 504 names is this one, if it is recorded.
func (a *auditor) timeouts(s *sale) {
	for i, try := range s.tries() {
		if try.status != http.StatusGatewayTimeout {
			continue
		}
		if row, ok := a.byID[try.saleID]; try.saleID == "" || ok && row.journal != s.id {
			a.report(s, "attempt %d was answered 504 with the wrong sale %q: %v", i, try.saleID, row)
		}
		for _, row := range a.rows[s.id] {
			if s.key == "" && row.attempt == i && row.id != try.saleID {
				a.report(s, "attempt %d was answered 504 with sale %s and is recorded as %s", i, try.saleID, row.id)
			}
		}
	}
}

// fields checks that each row holds what was sent.
func (a *auditor) fields(s *sale) {
	if s.fate != toBeRecorded {
		return
	}
	for _, row := range a.rows[s.id] {
		want := row // the IDs that only the database knows stay as they are
		want.workspace, want.customer = s.workspace.id, s.customer
		want.clickID, want.leadID, want.linkID, want.attribution = s.source.clickID, s.source.leadID,
			s.workspace.link(), s.source.attribution
		want.amount, want.currency, want.event = s.amount, s.currency, s.event
		if row != want {
			a.report(s, "it is recorded as %+v\nwant %+v", row, want)
		}
	}
}

// unknownRows checks that each sale in the tables is in the journal.
func (a *auditor) unknownRows() {
	for _, row := range a.tables.sales {
		if s := a.sales[row.journal]; s == nil || row.attempt >= len(s.tries()) {
			a.report(s, "%+v was never sent", row)
		}
	}
}

// customers checks that a single sale of a customer explains all its fields.
func (a *auditor) customers() {
	versions := map[[2]string]map[string]bool{}
	for _, row := range a.tables.sales {
		if s := a.sales[row.journal]; s != nil {
			customer := [2]string{row.workspace, row.customer}
			if versions[customer] == nil {
				versions[customer] = map[string]bool{}
			}
			versions[customer][s.version] = true
		}
	}
	for _, row := range a.tables.customers {
		known := versions[[2]string{row.workspace, row.external}]
		if known == nil {
			if !isSeeded(row.external) {
				a.report(nil, "no sale created this customer: %+v", row)
				continue
			}
			known = map[string]bool{seededVersion: true}
		}
		if !slices.ContainsFunc(keysOf(known), row.is) {
			a.report(nil, "customer torn: %+v matches none of the versions that its sales sent: %v", row, keysOf(known))
		}
	}
}

func (c customerRow) is(version string) bool {
	return c.name == nameOf(version) && c.email == emailOf(version) && c.avatar == avatarOf(version)
}

func keysOf(set map[string]bool) []string {
	var keys []string
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// keys checks that exactly the sales that were sent with an idempotency key have one in the tables.
func (a *auditor) keys() {
	for _, row := range a.tables.keys {
		recorded, ok := a.byID[row.saleID]
		if s := a.sales[recorded.journal]; !ok || s == nil || s.key != row.key || s.workspace.id != row.workspace {
			a.report(s, "idempotency key %+v belongs to no sale that was sent with it", row)
		}
	}
	for _, row := range a.tables.sales {
		s := a.sales[row.journal]
		if s != nil && s.key != "" && a.remembers[[2]string{row.workspace, s.key}] != row.id {
			a.report(s, "the idempotency key of %+v is not remembered", row)
		}
	}
}
