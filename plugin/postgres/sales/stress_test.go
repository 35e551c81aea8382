package sales_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// Each client has one customer, to which it sells on alternating edges, so it knows what must be
// stored. All clients also share customers, for which only the sales are known.
func TestStress_ManyClientsOnTwoEdges(t *testing.T) {
	shop := openShop(t)
	edges := []*sales.Store{shop.Store(), shop.Store()}
	const clients, rounds, shared = 48, 40, 5
	ends := make([]client, clients)
	var work sync.WaitGroup
	for i := range clients {
		ends[i] = client{t: t, customer: fmt.Sprint("own", i), random: rand.New(rand.NewPCG(1, uint64(i)))}
		work.Go(func() {
			for round := range rounds {
				ends[i].sell(edges[round%len(edges)])
				ends[i].share(edges[round%len(edges)], fmt.Sprint("shared", (i+round)%shared))
			}
		})
	}
	work.Wait()

	var total int64
	for _, end := range ends {
		total += end.total
		if len(end.ids) != 2*rounds {
			t.Errorf("%s: %d sales answered, want %d", end.customer, len(end.ids), 2*rounds)
		}
		shop.expectSales(t, len(end.ids), "id = ANY ($1)", end.ids)
		stored := shop.Rows(`SELECT name, coalesce(email, 'null'), coalesce(avatar, 'null') FROM hoko.customers
			WHERE external_id = $1`, end.customer)
		if want := fmt.Sprintf("(%s,%s,%s)", end.name, text(end.email), text(end.avatar)); stored != want {
			t.Errorf("%s: stored %s, want %s", end.customer, stored, want)
		}
	}
	shop.expectSales(t, 2*clients*rounds, "true")
	if sum := testenv.Value[int64](shop.DB, "SELECT sum(amount)::bigint FROM hoko.sales"); sum != total {
		t.Errorf("sold for %d, want %d", sum, total)
	}
	if n := testenv.Value[int](shop.DB, "SELECT count(*) FROM hoko.customers"); n != clients+shared {
		t.Errorf("%d customers, want %d", n, clients+shared)
	}
	n := testenv.Value[int](shop.DB,
		"SELECT count(*) FROM hoko.sales s LEFT JOIN hoko.customers c ON c.id = s.customer_id WHERE c.id IS NULL")
	if n != 0 {
		t.Errorf("%d sales have no customer", n)
	}
}

type client struct {
	t             *testing.T
	customer      string
	random        *rand.Rand
	name          string
	email, avatar *string
	ids           []uuid.UUID
	total         int64
}

func (c *client) sell(edge *sales.Store) {
	s := c.next(c.customer)
	c.name = s.Request.CustomerName
	if s.Request.CustomerEmail.Given {
		c.email = s.Request.CustomerEmail.Value
	}
	if s.Request.CustomerAvatar.Given {
		c.avatar = s.Request.CustomerAvatar.Value
	}
	got := c.record(edge, s)
	if got == nil {
		return
	}
	if text(got.Customer.Email) != text(c.email) || text(got.Customer.Avatar) != text(c.avatar) ||
		got.Customer.Name != c.name {
		c.t.Errorf("%s: answered %+v", c.customer, got.Customer)
	}
	if s.IdempotencyKey == "" {
		return
	}
	replay, err := edge.Record(testenv.Guarded(c.t), c.copy(s))
	if err != nil || !replay.Replayed || replay.SaleID != got.SaleID {
		c.t.Errorf("%s: replayed %+v, %v", c.customer, replay, err)
	}
}

func (c *client) share(edge *sales.Store, customer string) { c.record(edge, c.next(customer)) }

func (c *client) record(edge *sales.Store, s *sale.Sale) *sale.Recorded {
	if c.random.IntN(10) == 0 {
		if _, err := edge.Record(testenv.Guarded(c.t), sell(s.Request.CustomerExternalID, byClick("none"),
			named("unsold"))); !errors.Is(err, sale.ErrUnattributed) {
			c.t.Errorf("%s: %v, want unattributed", c.customer, err)
		}
	}
	got, err := edge.Record(testenv.Guarded(c.t), s)
	if err != nil {
		c.t.Error(err)
		return nil
	}
	c.ids = append(c.ids, got.SaleID)
	c.total += got.Amount
	return got
}

func (c *client) next(customer string) *sale.Sale {
	optional := func() sale.Optional {
		return []sale.Optional{keep, keep, clear, set(fmt.Sprint("v", c.random.IntN(3)))}[c.random.IntN(4)]
	}
	key := ""
	if c.random.IntN(3) == 0 {
		key = uuid.NewString()
	}
	return sell(customer, named(fmt.Sprint("n", c.random.IntN(3))), costing(c.random.Int64N(1000)),
		mailing(optional()), pictured(optional()), keyed(key))
}

func (c *client) copy(s *sale.Sale) *sale.Sale {
	again := *s
	again.ID = uuid.Must(uuid.NewV7())
	return &again
}
