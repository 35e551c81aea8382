package sales_test

import (
	"slices"

	"github.com/google/uuid"
)

// fact is what a customer's column is.
type fact struct {
	customer      customerName
	column, value string
}

func factsOf(name customerName, c customerRow) []fact {
	return []fact{{name, "name", c.name}, {name, "email", c.email}, {name, "phone", c.phone}, {name, "avatar", c.avatar}}
}

// holds is also true of what would hold of a customer that does not exist, once it does.
func (f fact) holds(l ledger) bool {
	c, known := l.customers[f.customer]
	if !known {
		c = newcomer
	}
	return slices.Contains(factsOf(f.customer, c), f)
}

// needs are facts without which the deed could not have been told what it was; perhaps not all of them.
func (d deed) needs(shared map[uuid.UUID]bool) (needs []fact) {
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
			needs = slices.DeleteFunc(factsOf(a.customer, d.told.customer), func(f fact) bool { return f.value == a.value })
		}
	}
	return needs
}

// gives are the facts that the deed may make; perhaps it does not.
func (d deed) gives() (gives []fact) {
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

// facts of the customer that was answered: what the sale gave, and what it kept.
func (a saleAct) facts(c customerRow) (given, kept []fact) {
	for _, f := range factsOf(a.name(), c) {
		switch {
		case f.column == "name", f.column == "email" && a.Request.CustomerEmail.Given, f.column == "avatar" && a.Request.CustomerAvatar.Given:
			given = append(given, f)
		default:
			kept = append(kept, f)
		}
	}
	return given, kept
}

// onlyLooks is true where the deed has no effect in any place of the order, if it has none in one. (A sale that leaves
// its customer as it is may still have an effect in another place; but it always has that of being recorded.)
func (d deed) onlyLooks() bool {
	a, is := d.act.(siteAct)
	return !is || a.kind == "look" || d.told.customer.id == ""
}

// sharedIDs are those of several deeds' sales.
func sharedIDs(deeds []deed) map[uuid.UUID]bool {
	shared := map[uuid.UUID]bool{}
	for _, d := range deeds {
		for _, x := range d.touches() {
			if id, is := x.(uuid.UUID); is {
				_, asked := shared[id]
				shared[id] = asked
			}
		}
	}
	return shared
}
