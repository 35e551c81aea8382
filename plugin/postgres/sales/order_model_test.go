package sales_test

import (
	"maps"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// What the API promises of sales that come one after the other. Everything is comparable by ==, a null is the text
// "null", and a step makes a new ledger of the old one, which stays as it is.

// world is what only the site writes.
type world struct {
	links  map[string]linkRow
	clicks map[string]clickRow
	leads  []leadRow
}

// linkRow has all that is answered of a link in text.
type linkRow struct{ workspace, text string }

type clickRow struct{ workspace, link string }

type leadRow struct {
	id, workspace, customer, click, link, event string
	created                                     int64
}

// record decides in the API's order: the key, then what earns the sale. Ids that are not the caller's are those that
// were told.
func (w *world) record(l ledger, s *sale.Sale, told answer) (answer, ledger) {
	name, key := customerName{s.WorkspaceID, s.Request.CustomerExternalID}, keyName{s.WorkspaceID, s.IdempotencyKey}
	if earlier, used := l.keys[key]; used {
		return replay(s, earlier), l
	}
	customer, known := l.customers[name]
	if earlier, recorded := l.sold[s.ID]; recorded && earlier.workspace == s.WorkspaceID {
		return w.again(s, earlier, customer), l
	}
	credit, earned := w.credit(s, customer.id)
	if !earned {
		return answer{result: wasUnattributed}, l
	}

	id := s.ID
	if l.hasSale(id) { // another workspace's
		id = told.saleID
	}
	if !known {
		customer = newcomer
		customer.id = told.customer.id
	}
	if l.hasSale(id) || !known && l.hasCustomer(customer.id) {
		return answer{result: "recorded under ids of its own"}, l
	}
	customer = sold(customer, s.Request)
	first := w.answer(s, id, credit, customer)
	if first != told { // this is not how it was, so what comes of it is of no interest
		return first, l
	}

	l.customers, l.sold = maps.Clone(l.customers), maps.Clone(l.sold)
	l.customers[name] = customer
	l.sold[id] = soldRow{
		s.WorkspaceID, customer.id, credit, s.Request.Amount, s.Request.Currency, s.Request.EventName, asJSONB[string(s.Request.Metadata)],
	}
	if key.key != "" {
		l.keys = maps.Clone(l.keys)
		l.keys[key] = keyRow{requestOf(s.Request), first}
	}
	return first, l
}

// replay answers for a key that was used.
func replay(s *sale.Sale, earlier keyRow) answer {
	switch first := earlier.first; {
	case first.saleID == s.ID: // not a twin but this very sale
		return first
	case earlier.request == requestOf(s.Request):
		first.result = wasReplayed
		return first
	}
	return answer{result: wasMismatch}
}

// again answers a sale that is recorded already, and whose first answer nobody has kept: the customer as it would be
// had it been recorded now.
func (w *world) again(s *sale.Sale, earlier soldRow, customer customerRow) answer {
	if customer.id == "" { // it is gone
		return answer{result: wasUnknown}
	}
	return w.answer(s, s.ID, earlier.credit, sold(customer, s.Request))
}

// sold is the customer as a sale leaves it.
func sold(c customerRow, r *sale.Request) customerRow {
	c.name, c.deleted = text(&r.CustomerName), false
	if r.CustomerEmail.Given {
		c.email = text(r.CustomerEmail.Value)
	}
	if r.CustomerAvatar.Given {
		c.avatar = text(r.CustomerAvatar.Value)
	}
	return c
}

func (w *world) answer(s *sale.Sale, id uuid.UUID, c credit, customer customerRow) answer {
	return answer{
		result: wasRecorded, saleID: id, attribution: c.attribution, click: c.click, link: w.links[c.link].text,
		external: s.Request.CustomerExternalID, customer: customer,
		amount: s.Request.Amount, currency: s.Request.Currency, event: s.Request.EventName, metadata: string(s.Request.Metadata),
	}
}

// credit is false where nothing attributes the sale.
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

// claim is what the sale is attributed to if its link is the workspace's.
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

// latestLead of an event, or of any.
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
