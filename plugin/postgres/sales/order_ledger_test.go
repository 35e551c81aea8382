package sales_test

import (
	"fmt"
	"maps"
	"strings"

	"github.com/google/uuid"
)

// ledger is what sales change.
type ledger struct {
	customers map[customerName]customerRow
	sold      map[uuid.UUID]soldRow
	keys      map[keyName]keyRow
}

type customerName struct{ workspace, external string }

type customerRow struct {
	id, name, email, phone, avatar string
	deleted                        bool
}

// newcomer is a customer of whom nothing is known.
var newcomer = customerRow{name: "null", email: "null", phone: "null", avatar: "null"}

func (c *customerRow) columns() []any {
	return []any{&c.id, &c.name, &c.email, &c.phone, &c.avatar, &c.deleted}
}

type soldRow struct {
	workspace, customer       string
	credit                    credit
	amount                    int64
	currency, event, metadata string // metadata as jsonb writes it
}

// credit is what a sale is attributed to.
type credit struct{ attribution, click, link, lead string }

type keyName struct{ workspace, key string }

type keyRow struct {
	request request
	first   answer
}

func (l ledger) hasSale(id uuid.UUID) bool {
	_, has := l.sold[id]
	return has
}

func (l ledger) hasCustomer(id string) bool {
	for _, c := range l.customers {
		if c.id == id {
			return true
		}
	}
	return false
}

// filter is what has to do with what is kept: customers, sale ids and keys.
func (l ledger) filter(keep func(any) bool) ledger {
	kept := ledger{maps.Clone(l.customers), maps.Clone(l.sold), maps.Clone(l.keys)}
	maps.DeleteFunc(kept.customers, func(n customerName, _ customerRow) bool { return !keep(n) })
	maps.DeleteFunc(kept.sold, func(id uuid.UUID, _ soldRow) bool { return !keep(id) })
	maps.DeleteFunc(kept.keys, func(k keyName, _ keyRow) bool { return !keep(k) })
	return kept
}

func (l ledger) of(touched map[any]bool) ledger {
	return l.filter(func(x any) bool { return touched[x] })
}

// stored is what of it the tables say.
func (l ledger) stored() ledger {
	l.keys = maps.Clone(l.keys)
	for key, row := range l.keys {
		l.keys[key] = keyRow{first: row.first}
	}
	return l
}

func (l ledger) equal(other ledger) bool {
	return maps.Equal(l.customers, other.customers) && maps.Equal(l.sold, other.sold) && maps.Equal(l.keys, other.keys)
}

// differs shows how the ledger is not that which is stored.
func (l ledger) differs(stored ledger) string {
	return differing(l.customers, stored.customers) + differing(l.sold, stored.sold) + differing(l.keys, stored.keys)
}

func differing[K, V comparable](wanted, stored map[K]V) string {
	var b strings.Builder
	for k, want := range wanted {
		if got, is := stored[k]; !is || got != want {
			fmt.Fprintf(&b, "\n\t%v: stored %+v %v, want %+v", k, got, is, want)
		}
	}
	for k, got := range stored {
		if _, is := wanted[k]; !is {
			fmt.Fprintf(&b, "\n\t%v: stored %+v, want nothing", k, got)
		}
	}
	return b.String()
}
