package sales_test

import (
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// The tests of sales' order are worth what their search is.
func TestSearchFindsTheOrderIfThereIsOne(t *testing.T) {
	w := &world{
		links:  map[string]linkRow{"l1": {"w1", "the link"}},
		clicks: map[string]clickRow{"c1": {"w1", "l1"}},
	}
	k, byC1 := customerName{"w1", "k"}, credit{string(sale.Click), "c1", "l1", "null"}
	customer := func(name, email string) customerRow { return customerRow{"k1", name, email, "null", "null", false} }
	start := ledger{map[customerName]customerRow{k: customer("n0", "e0")}, map[uuid.UUID]soldRow{}, nil}
	at := func(begun, ended int64, s *sale.Sale, email string) deed {
		return deed{saleAct{s, 0}, begun, ended, w.answer(s, s.ID, byC1, customer(s.Request.CustomerName, email))}
	}
	stored := func(name, email string, sales ...*sale.Sale) deed {
		end := ledger{map[customerName]customerRow{k: customer(name, email)}, map[uuid.UUID]soldRow{}, nil}
		for _, s := range sales {
			end.sold[s.ID] = soldRow{"w1", "k1", byC1, 100, "usd", "Purchase", "null"}
		}
		return deed{finding{end}, 9, 9, answer{}}
	}
	sets, keeps := sell("k", named("n1"), mailing(set("e1"))), sell("k", named("n2"))
	for _, c := range []struct {
		name  string
		deeds []deed
		want  bool
	}{
		{"one after the other", []deed{at(1, 2, sets, "e1"), at(3, 4, keeps, "e1"), stored("n2", "e1", sets, keeps)}, true},
		{"the first has not seen the second", []deed{at(1, 2, keeps, "e0"), at(3, 4, sets, "e1"), stored("n1", "e1", sets, keeps)}, true},
		{"the first has seen the second", []deed{at(1, 2, keeps, "e1"), at(3, 4, sets, "e1"), stored("n2", "e1", sets, keeps)}, false},
		{"the first has seen the second at the same time", []deed{at(1, 3, keeps, "e1"), at(2, 4, sets, "e1"), stored("n2", "e1", sets, keeps)}, true},
		{"but its name is stored", []deed{at(1, 3, keeps, "e1"), at(2, 4, sets, "e1"), stored("n1", "e1", sets, keeps)}, false},
		{"the second has not seen the first", []deed{at(1, 2, sets, "e1"), at(3, 4, keeps, "e0"), stored("n2", "e1", sets, keeps)}, false},
		{"something that nobody has stored", []deed{at(1, 2, keeps, "e9"), stored("n2", "e9", keeps)}, false},
		{"a sale that is not stored", []deed{at(1, 2, sets, "e1"), at(3, 4, keeps, "e1"), stored("n2", "e1", keeps)}, false},
		{"a sale that nobody was told of", []deed{at(1, 2, keeps, "e0"), stored("n2", "e0", sets, keeps)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s := newSearch(w, c.deeds); s.explain(start) != c.want {
				t.Errorf("explained %v, want %v: %v", !c.want, c.want, s)
			}
		})
	}
}
