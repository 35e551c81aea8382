package order_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

// The model is what the API promises for sequential sales. All values compare with ==, null is the
// text "null", and a step returns a new ledger and leaves the old one unchanged.

// world is what only the site writes.
type world struct {
	links  map[string]linkRow
	clicks map[string]clickRow
	leads  []leadRow
}

type linkRow struct{ workspace, text string }

type clickRow struct{ workspace, link string }

type leadRow struct {
	id, workspace, customer, click, link, event string
	created                                     int64
}

// record decides in the API's order: first the key, then the attribution. It takes new IDs from
// told.
func (w *world) record(l ledger, s *sale.Sale, told answer) (answer, ledger) {
	name, key := customerName{s.WorkspaceID, s.Request.CustomerExternalID}, keyName{s.WorkspaceID, s.IdempotencyKey}
	if earlier, used := l.keys[key]; used {
		return replay(s, earlier), l
	}
	customer, known := l.customers[name]
	if earlier, recorded := l.sold[s.ID]; recorded && earlier.workspace == s.WorkspaceID {
		return w.again(s, earlier, customer), l
	}
	credit, attributed := w.credit(s, customer.id)
	if !attributed {
		return answer{result: wasUnattributed}, l
	}

	id := s.ID
	if l.hasSale(id) { // another workspace has it
		id = told.saleID
	}
	if !known {
		customer = newcomer
		customer.id = told.customer.id
	}
	if l.hasSale(id) || !known && l.hasCustomer(customer.id) {
		return answer{result: "recorded under new ids"}, l
	}
	customer = sold(customer, s.Request)
	first := w.answer(s, id, credit, customer)
	if first != told { // not what happened, so the next ledger does not matter
		return first, l
	}

	l.customers, l.sold = maps.Clone(l.customers), maps.Clone(l.sold)
	l.customers[name] = customer
	l.sold[id] = soldRow{
		s.WorkspaceID, customer.id, credit, s.Request.Amount, s.Request.Currency, s.Request.EventName,
		asJSONB[string(s.Request.Metadata)],
	}
	if key.key != "" {
		l.keys = maps.Clone(l.keys)
		l.keys[key] = keyRow{requestOf(s.Request), first}
	}
	return first, l
}

func replay(s *sale.Sale, earlier keyRow) answer {
	switch first := earlier.first; {
	case first.saleID == s.ID: // the same sale, not a duplicate
		return first
	case earlier.request == requestOf(s.Request):
		first.result = wasReplayed
		return first
	}
	return answer{result: wasMismatch}
}

// again returns the answer for a recorded sale without a stored answer: the customer as if it were
// recorded now.
func (w *world) again(s *sale.Sale, earlier soldRow, customer customerRow) answer {
	if customer.id == "" { // it was purged
		return answer{result: wasUnknown}
	}
	return w.answer(s, s.ID, earlier.credit, sold(customer, s.Request))
}

func sold(c customerRow, r *sale.Request) customerRow {
	c.name, c.deleted = pgtest.Text(&r.CustomerName), false
	if r.CustomerEmail.Given {
		c.email = pgtest.Text(r.CustomerEmail.Value)
	}
	if r.CustomerAvatar.Given {
		c.avatar = pgtest.Text(r.CustomerAvatar.Value)
	}
	return c
}

func (w *world) answer(s *sale.Sale, id uuid.UUID, c credit, customer customerRow) answer {
	return answer{
		result: wasRecorded, saleID: id, attribution: c.attribution, click: c.click, link: w.links[c.link].text,
		external: s.Request.CustomerExternalID, customer: customer,
		amount: s.Request.Amount, currency: s.Request.Currency, event: s.Request.EventName,
		metadata: string(s.Request.Metadata),
	}
}

// credit returns false if nothing attributes the sale.
func (w *world) credit(s *sale.Sale, customer string) (credit, bool) {
	c := w.claim(s, customer)
	link, exists := w.links[c.link]
	if !exists || link.workspace != s.WorkspaceID {
		return credit{}, false
	}
	if click, exists := w.clicks[c.click]; exists && click.workspace != s.WorkspaceID {
		c.click = "null"
	}
	return c, true
}

func (w *world) claim(s *sale.Sale, customer string) credit {
	r := s.Request
	if lead, found := w.latestLead(s.WorkspaceID, customer, r.LeadEventName); found && r.LeadEventName != "" {
		return credit{string(sale.LeadEvent), lead.click, lead.link, lead.id}
	}
	if r.ClickID != "" {
		click, exists := w.clicks[r.ClickID]
		if !exists || click.workspace != s.WorkspaceID {
			return credit{}
		}
		return credit{string(sale.Click), r.ClickID, click.link, "null"}
	}
	if lead, found := w.latestLead(s.WorkspaceID, customer, ""); found {
		return credit{string(sale.LatestLead), lead.click, lead.link, lead.id}
	}
	return credit{}
}

// latestLead returns the latest lead of an event, or of any event for "".
func (w *world) latestLead(workspace, customer, event string) (latest leadRow, found bool) {
	for _, l := range w.leads {
		if l.workspace != workspace || l.customer != customer || event != "" && l.event != event {
			continue
		}
		if !found || l.created > latest.created || l.created == latest.created && l.id > latest.id {
			latest, found = l, true
		}
	}
	return latest, found
}

// fact is the value of a customer's column.
type fact struct {
	customer      customerName
	column, value string
}

func factsOf(name customerName, c customerRow) []fact {
	return []fact{{name, "name", c.name}, {name, "email", c.email}, {name, "phone", c.phone},
		{name, "avatar", c.avatar}}
}

// holds also returns true if the customer does not exist and would be created with this value.
func (f fact) holds(l ledger) bool {
	c, known := l.customers[f.customer]
	if !known {
		c = newcomer
	}
	return slices.Contains(factsOf(f.customer, c), f)
}

// needs returns facts without which the call could not have had its answer; the list may be
// incomplete.
func (d call) needs(shared map[uuid.UUID]bool) (needs []fact) {
	switch a := d.act.(type) {
	case finding:
		for name, c := range a.stored.customers {
			needs = append(needs, factsOf(name, c)...)
		}
	case saleAct:
		if d.told.result == wasRecorded && !shared[d.told.saleID] {
			_, needs = a.facts(d.told.customer)
		}
	case siteAct:
		if d.told.customer.id != "" && a.kind != "create" {
			needs = slices.DeleteFunc(factsOf(a.customer, d.told.customer),
				func(f fact) bool { return f.value == a.value })
		}
	}
	return needs
}

// gives returns the facts that the call may create.
func (d call) gives() (gives []fact) {
	switch a := d.act.(type) {
	case saleAct:
		if d.told.result == wasRecorded {
			gives, _ = a.facts(d.told.customer)
		}
	case siteAct:
		if a.kind == "look" || a.kind == "delete" {
			return nil
		}
		gives = factsOf(a.customer, newcomer)
		for _, name := range a.names() {
			gives = append(gives, factsOf(name, d.told.customer)...)
		}
	}
	return gives
}

// facts returns what the sale set on the answered customer, and what it kept.
func (a saleAct) facts(c customerRow) (given, kept []fact) {
	for _, f := range factsOf(a.name(), c) {
		switch {
		case f.column == "name", f.column == "email" && a.Request.CustomerEmail.Given,
			f.column == "avatar" && a.Request.CustomerAvatar.Given:
			given = append(given, f)
		default:
			kept = append(kept, f)
		}
	}
	return given, kept
}

// readsOnly reports whether the call has no effect at any place of the order if it has none at one.
// A sale that keeps its customer unchanged may still change it at another place, but a sale always
// has the effect of being recorded.
func (d call) readsOnly() bool {
	a, is := d.act.(siteAct)
	return !is || a.kind == "look" || d.told.customer.id == ""
}

func sharedIDs(calls []call) map[uuid.UUID]bool {
	shared := map[uuid.UUID]bool{}
	for _, d := range calls {
		for _, x := range d.touches() {
			if id, is := x.(uuid.UUID); is {
				_, asked := shared[id]
				shared[id] = asked
			}
		}
	}
	return shared
}

type answer struct {
	result                    string
	saleID                    uuid.UUID
	attribution, click, link  string
	external                  string
	customer                  customerRow
	amount                    int64
	currency, event, metadata string // metadata as sent
}

func (a answer) String() string {
	if a.result == wasRecorded || a.result == wasReplayed {
		return fmt.Sprintf("%s %v by %s, click %s, link %.12s, %+v, %d %s %q %s", a.result, a.saleID, a.attribution,
			a.click, a.link, a.customer, a.amount, a.currency, a.event, a.metadata)
	}
	return fmt.Sprintf("%s %+v", a.result, a.customer)
}

const (
	wasRecorded     = "recorded"
	wasReplayed     = "replayed"
	wasUnattributed = "unattributed"
	wasMismatch     = "mismatch"
	wasUnknown      = "unknown"
	wasShed         = "shed"
)

// request is a sale.Request as idempotency keys compare it.
type request struct {
	external, name, email, avatar, lead, click string
	amount                                     int64
	currency, event, metadata                  string
}

func requestOf(r *sale.Request) request {
	return request{
		r.CustomerExternalID, r.CustomerName, optionalText(r.CustomerEmail), optionalText(r.CustomerAvatar),
		r.LeadEventName, r.ClickID,
		r.Amount, r.Currency, r.EventName, asJSONB[string(r.Metadata)],
	}
}

func optionalText(o sale.Optional) string {
	if !o.Given {
		return "kept"
	}
	return pgtest.Text(o.Value)
}

// asJSONB maps every metadata that is sent to the text that jsonb writes.
var asJSONB = map[string]string{
	"":                       "null",
	`{}`:                     `{}`,
	`{"a":1,"b":[2.0]}`:      `{"a": 1, "b": [2.0]}`,
	`{"b":[2.0],"a":1}`:      `{"a": 1, "b": [2.0]}`,
	`{"b":[2.00],"a":1}`:     `{"a": 1, "b": [2.00]}`,
	`{"a":"\u00e4\n","b":1}`: `{"a": "ä\n", "b": 1}`,
	`{"b":1,"a":"ä\u000a"}`:  `{"a": "ä\n", "b": 1}`,
}
