package sales_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/sale"
)

func TestRecord_StoresAndAnswersTheWholeSale(t *testing.T) {
	shop := openShop(t)
	s := sell("بائع 🎉", costing(9007199254740991), noting(`{"b":1.50,"a":"\u00e4"}`),
		mailing(set("ä@example.com")), pictured(set("https://example.com/a.png")), func(s *sale.Sale) {
			s.Request.Currency, s.Request.EventName = "sar", "فاتورة"
		})
	got := mustRecord(t, shop.Store(), s)

	want := `{"click":{"id":"c1"},"link":{"id":"l1","url":"https://example.com/?a=1&b=<ä>",` +
		`"shortUrl":"https://hoko.to/abc",` +
		`"qrCode":"https://hoko.to/qrcode?text=https%3A%2F%2Fhoko.to%2Fabc%3Fqr%3D1` +
		`&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",` +
		`"title":"Tïtle","description":"Descr","image":"https://example.com/i.png",` +
		`"utm":{"source":"s","medium":"m"},"collectionId":"col","partnerId":"par","tenantId":"ten",` +
		`"externalId":"ext","createdAt":"2024-01-02T03:04:05.678901Z"},` +
		`"customer":{"id":"` + got.Customer.ID + `","name":"بائع 🎉",` +
		`"email":"ä@example.com","phone":null,"avatar":"https://example.com/a.png","externalId":"بائع 🎉"},` +
		`"sale":{"amount":9007199254740991,"currency":"sar","eventName":"فاتورة","metadata":{"b":1.50,"a":"\u00e4"}}}`
	if body := string(sale.AppendResponse(nil, got)); body != want {
		t.Errorf("answered\n%s\nwant\n%s", body, want)
	}
	if got.SaleID != s.ID || got.Attribution != sale.Click || got.Replayed {
		t.Errorf("answered sale %v, %v, replayed %v", got.SaleID, got.Attribution, got.Replayed)
	}
	stored := shop.Rows(`SELECT id = $1, workspace_id, customer_id = $2, click_id, link_id, lead_id, attribution,
		amount, currency, event_name, metadata, created_at > now() - interval '1 hour' FROM hoko.sales`,
		s.ID, got.Customer.ID)
	if want := `(t,w1,t,c1,l1,,click,9007199254740991,sar,فاتورة,"{""a"": ""ä"", ""b"": 1.50}",t)`; stored != want {
		t.Errorf("stored %s, want %s", stored, want)
	}
	customer := shop.Rows(`SELECT id = $1, workspace_id, external_id, name, email, phone, avatar, deleted_at
		FROM hoko.customers`, got.Customer.ID)
	if want := `(t,w1,"بائع 🎉","بائع 🎉",ä@example.com,,https://example.com/a.png,)`; customer != want {
		t.Errorf("customer %s, want %s", customer, want)
	}
}

func TestAttribution_Order(t *testing.T) {
	shop := openShop(t)
	shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id) VALUES
		('k1', 'w1', 'with leads'), ('k2', 'w1', 'with a lead of no link'), ('k3', 'w1', 'with none'),
		('k4', 'w2', 'with none'), ('k5', 'w1', 'with a foreign lead'), ('k6', 'w1', 'with a lead of a foreign link'),
		('k7', 'w1', 'with a lead of a deleted link')`)
	shop.Exec(`INSERT INTO hoko.links (id, workspace_id, url, short_url, deleted_at)
		VALUES ('l9', 'w1', 'u', 's', now())`)
	shop.Exec(`INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at) VALUES
		('a', 'w1', 'k1', 'c1', 'l1', 'Signup', '2024-01-01'),
		('b', 'w1', 'k1', 'c2', 'l2', 'Signup', '2024-01-02'),
		('c', 'w1', 'k1', 'c1', 'l1', 'Signup', '2024-01-02'),
		('d', 'w1', 'k1', NULL, 'l2', 'Demo',   '2024-01-03'),
		('e', 'w1', 'k1', 'c1', 'l1', 'Call',   '2024-01-02'),
		('f', 'w1', 'k2', 'c1', 'none', 'Signup', '2024-01-02'),
		('g', 'w1', 'k2', 'c1', 'l1', 'Signup', '2024-01-01'),
		('h', 'w2', 'k4', 'y1', 'x1', 'Signup', '2024-01-01'),
		('i', 'w2', 'k5', 'y1', 'x1', 'Signup', '2024-01-01'),
		('j', 'w1', 'k6', 'y1', 'x1', 'Signup', '2024-01-01'),
		('k', 'w1', 'k7', NULL, 'l9', 'Signup', '2024-01-01')`)
	store := shop.Store()

	type given struct{ lead, click string }
	for _, c := range []struct {
		name, customer string
		given          given
		want           string // attribution, click, link, lead; "" is nothing
	}{
		{"of named leads at one time, the greatest id", "with leads", given{"Signup", ""}, "(lead-event,c1,l1,c)"},
		{"the named lead before the click", "with leads", given{"Demo", "c1"}, "(lead-event,,l2,d)"},
		{"no lead of exactly that name: the click", "with leads", given{"signup", "c2"}, "(click,c2,l2,)"},
		{"no lead of exactly that name: the latest", "with leads", given{"signup", ""}, "(latest-lead,,l2,d)"},
		{"the click before the latest lead", "with leads", given{"", "c1"}, "(click,c1,l1,)"},
		{"the latest lead of any name", "with leads", given{"", ""}, "(latest-lead,,l2,d)"},
		{"an unknown click, though there is a lead", "with leads", given{"", "none"}, ""},
		{"an unknown click of a new customer", "new", given{"", "none"}, ""},
		{"the named lead, though the click is unknown", "with leads", given{"Demo", "none"}, "(lead-event,,l2,d)"},
		{"a click of another workspace", "with leads", given{"", "y1"}, ""},
		{"a click whose link is missing, though there is a lead", "with leads", given{"", "c3"}, ""},
		{"a click whose link is another workspace's", "with leads", given{"", "c4"}, ""},
		{"the named lead's link is missing", "with a lead of no link", given{"Signup", "c1"}, ""},
		{"the latest lead's link is missing", "with a lead of no link", given{"", ""}, ""},
		{"a lead whose link is another workspace's", "with a lead of a foreign link", given{"", ""}, ""},
		{"a lead in another workspace", "with a foreign lead", given{"Signup", ""}, ""},
		{"a lead of another workspace's customer of that name", "with none", given{"Signup", ""}, ""},
		{"nothing, of a known customer", "with none", given{"", ""}, ""},
		{"nothing, of a new customer", "new", given{"", ""}, ""},
		{"the click of a known customer", "with none", given{"Signup", "c2"}, "(click,c2,l2,)"},
		{"a deleted link", "with a lead of a deleted link", given{"", ""}, "(latest-lead,,l9,k)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := shop.Rows("SELECT * FROM hoko.customers ORDER BY id")
			s := sell(c.customer, byClick(c.given.click), byLead(c.given.lead))
			got := record(t, store, s)
			const stored = "SELECT attribution, click_id, link_id, lead_id FROM hoko.sales WHERE id = $1"
			shop.expectRows(t, c.want, stored, s.ID)
			if c.want != "" {
				testenv.NoError(t, got.err)
				shop.expectRows(t, c.want, "SELECT $1::text, $2::text, $3::text, lead_id FROM hoko.sales WHERE id = $4",
					got.Attribution, got.ClickID, got.Link.ID, s.ID)
				return
			}
			expectError(t, got, sale.ErrUnattributed)
			shop.expectRows(t, before, "SELECT * FROM hoko.customers ORDER BY id")
		})
	}
}

func TestCustomer_EmailAndAvatar(t *testing.T) {
	shop, store := openShopAndStore(t)
	for _, c := range []struct {
		name   string
		stored *string // nil: null; pointing to "new": the customer is new
		given  sale.Optional
		want   string
	}{
		{"kept", ptr("old"), keep, "old"},
		{"kept null", nil, keep, "null"},
		{"kept of a new customer", ptr("new"), keep, "null"},
		{"cleared", ptr("old"), clear, "null"},
		{"cleared null", nil, clear, "null"},
		{"cleared of a new customer", ptr("new"), clear, "null"},
		{"replaced", ptr("old"), set("fresh"), "fresh"},
		{"replaced by the same", ptr("old"), set("old"), "old"},
		{"replaced null", nil, set("fresh"), "fresh"},
		{"of a new customer", ptr("new"), set("fresh"), "fresh"},
	} {
		for _, member := range []string{"email", "avatar"} {
			t.Run(member+" "+c.name, func(t *testing.T) {
				if c.stored == nil || *c.stored != "new" {
					shop.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name, phone, email, avatar)
						VALUES ('w1', $1, 'x', '123', $2, $2)`, t.Name(), c.stored)
				}
				s := sell(t.Name())
				if member == "email" {
					s.Request.CustomerEmail = c.given
				} else {
					s.Request.CustomerAvatar = c.given
				}
				recorded := mustRecord(t, store, s)
				this, other := recorded.Customer.Email, recorded.Customer.Avatar
				if member == "avatar" {
					this, other = other, this
				}
				if text(this) != c.want {
					t.Errorf("answered %s, want %s", text(this), c.want)
				}
				stored := testenv.Value[*string](shop.DB,
					"SELECT "+member+" FROM hoko.customers WHERE external_id = $1", t.Name())
				if text(stored) != c.want {
					t.Errorf("stored %s, want %s", text(stored), c.want)
				}
				if c.stored != nil && *c.stored != "new" && text(other) != *c.stored {
					t.Errorf("the other one is %s, want %s", text(other), *c.stored)
				}
			})
		}
	}
}

func ptr(s string) *string { return &s }

func TestCustomer_NotWrittenIfUnchanged(t *testing.T) {
	shop, store := openShopAndStore(t)
	mustRecord(t, store, sell("k", mailing(set("a@example.com"))))
	before := shop.Rows("SELECT xmin, ctid, updated_at FROM hoko.customers")
	mustRecord(t, store, sell("k"))
	mustRecord(t, store, sell("k", mailing(set("a@example.com"))))
	shop.expectRows(t, before, "SELECT xmin, ctid, updated_at FROM hoko.customers")
	mustRecord(t, store, sell("k", named("new name")))
	if !testenv.Value[bool](shop.DB,
		"SELECT updated_at > created_at AND name = 'new name' AND email = 'a@example.com' FROM hoko.customers") {
		t.Error("the new name was not stored")
	}
}

func TestCustomer_RestoredIfDeleted(t *testing.T) {
	shop := openShop(t)
	shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, phone, deleted_at)
		VALUES ('k1', 'w1', 'k', 'k', 'a@example.com', '123', now())`)
	got := mustRecord(t, shop.Store(), sell("k"))
	if got.Customer.ID != "k1" || text(got.Customer.Email) != "a@example.com" || text(got.Customer.Phone) != "123" {
		t.Errorf("answered %+v", got.Customer)
	}
	if !testenv.Value[bool](shop.DB, "SELECT deleted_at IS NULL FROM hoko.customers") {
		t.Error("the customer is still deleted")
	}
}

func TestCustomer_SeparateInEachWorkspace(t *testing.T) {
	shop, store := openShopAndStore(t)
	one := mustRecord(t, store, sell("k", named("one")))
	two := mustRecord(t, store, sell("k", named("two"), inWorkspace("w2"), byClick("y1")))
	if one.Customer.ID == two.Customer.ID {
		t.Error("they are the same customer")
	}
	shop.expectRows(t, lines("(w1,one)", "(w2,two)"), "SELECT workspace_id, name FROM hoko.customers ORDER BY 1")
}

// Three sales of each customer wait while the store connects, and so share a statement.
func TestBatch_KeepsTheOrderOfACustomersSales(t *testing.T) {
	for _, customer := range []string{"new", "existing", "deleted"} {
		t.Run(customer, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(`INSERT INTO hoko.customers (workspace_id, external_id, name, email, avatar, phone, deleted_at)
				VALUES ('w1', 'existing', 'x', 'old', 'old', '123', NULL),
					('w1', 'deleted', 'x', 'old', 'old', '123', now())`)
			wire := pgtest.Tap(t, shop.DSN)
			store := openStore(t, wire.DSN, oneWriter)
			outcomes := queue(t, store,
				sell(customer, named("one"), mailing(set("1@example.com")), costing(1)),
				sell("another", costing(9)),
				sell(customer, named("two"), pictured(set("https://example.com/2")), costing(2)),
				sell(customer, named("three"), mailing(clear), costing(3)),
			)
			wire.Resume()
			avatar := "old"
			if customer == "new" {
				avatar = "null"
			}
			var got []string
			for _, i := range []int{0, 2, 3} {
				o := wait(t, outcomes[i])
				testenv.NoError(t, o.err)
				got = append(got, o.Customer.Name+" "+text(o.Customer.Email)+" "+text(o.Customer.Avatar))
			}
			if o := wait(t, outcomes[1]); o.err != nil || o.Customer.Name != "another" {
				t.Errorf("another: %+v", o)
			}
			want := []string{"one 1@example.com " + avatar, "two 1@example.com https://example.com/2",
				"three null https://example.com/2"}
			if lines(got...) != lines(want...) {
				t.Errorf("answered\n%s\nwant\n%s", lines(got...), lines(want...))
			}
			stored := shop.Rows(`SELECT name, email, avatar, deleted_at, (SELECT sum(amount) FROM hoko.sales
				WHERE customer_id = c.id) FROM hoko.customers c WHERE external_id = $1`, customer)
			if want := "(three,,https://example.com/2,,6)"; stored != want {
				t.Errorf("stored %s, want %s", stored, want)
			}
			shop.expectRows(t, "(1)", "SELECT count(DISTINCT xmin::text) FROM hoko.sales")
		})
	}
}

func TestMetadata_AnsweredAsSent(t *testing.T) {
	_, store := openShopAndStore(t)
	const sent = `{"b":[1.0,1e2],"a":"\u00e4&<>","a2":{}}`
	first := mustRecord(t, store, sell("k", noting(sent), keyed("key")))
	replay := mustRecord(t, store, sell("k", noting(sent), keyed("key")))
	for _, r := range []*sale.Recorded{first, replay} {
		if !bytes.Equal(r.Metadata, []byte(sent)) {
			t.Errorf("answered %s, want %s", r.Metadata, sent)
		}
	}
	if none := mustRecord(t, store, sell("k")); none.Metadata != nil {
		t.Errorf("answered %s where there is none", none.Metadata)
	}
}

func TestSaleID_SameSaleAgain(t *testing.T) {
	for _, key := range []string{"", "key"} {
		t.Run("key "+key, func(t *testing.T) {
			shop, store := openShopAndStore(t)
			s := sell("k", keyed(key), mailing(set("a@example.com")), noting(`{"a":1}`))
			first := mustRecord(t, store, s)
			// Later changes of the customer and the click affect neither the sale nor the customer.
			shop.Exec("UPDATE hoko.customers SET name = 'renamed'")
			shop.Exec("DELETE FROM hoko.clicks")
			again := mustRecord(t, store, s)
			if a, b := sale.AppendResponse(nil, first), sale.AppendResponse(nil, again); !bytes.Equal(a, b) {
				t.Errorf("answered\n%s\nand then\n%s", a, b)
			}
			if again.SaleID != s.ID || again.Attribution != sale.Click || again.Replayed {
				t.Errorf("answered sale %v, %v, replayed %v", again.SaleID, again.Attribution, again.Replayed)
			}
			shop.expectSales(t, 1, "true")
			shop.expectRows(t, "(renamed)", "SELECT name FROM hoko.customers")
		})
	}
}

func TestSaleID_ReplacedIfAnotherWorkspaceHasIt(t *testing.T) {
	shop, store := openShopAndStore(t)
	id := uuid.Must(uuid.NewV7())
	mustRecord(t, store, sell("k", as(id), inWorkspace("w2"), byClick("y1")))
	got := mustRecord(t, store, sell("k", as(id)))
	if got.SaleID == id || got.SaleID.Version() != 7 {
		t.Errorf("sale id %v", got.SaleID)
	}
	shop.expectSales(t, 1, "workspace_id = 'w1' AND id = $1", got.SaleID)
}

func TestLead_ClickIsAnsweredUnlessForeign(t *testing.T) {
	for stored, want := range map[string]string{"c1": "c1", "purged": "purged", "y1": "", "": ""} {
		t.Run("click "+stored, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name) VALUES ('k1', 'w1', 'k', 'k')`)
			shop.Exec(`INSERT INTO hoko.leads (workspace_id, customer_id, click_id, link_id, event_name)
				VALUES ('w1', 'k1', nullif('` + stored + `', ''), 'l1', 'Signup')`)
			store := shop.Store()
			for attribution, s := range map[sale.Attribution]*sale.Sale{
				sale.LatestLead: sell("k", byClick("")),
				sale.LeadEvent:  sell("k", byClick(""), byLead("Signup")),
			} {
				got := mustRecord(t, store, s)
				answered := ""
				if got.ClickID != nil {
					answered = *got.ClickID
				}
				if got.Attribution != attribution || answered != want {
					t.Errorf("%s: click %q by %s, want %q", attribution, answered, got.Attribution, want)
				}
				shop.expectSales(t, 1, "id = $1 AND coalesce(click_id, '') = $2", s.ID, want)
			}
		})
	}
}
