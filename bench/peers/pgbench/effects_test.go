package pgbench_test

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hoko.to/edge/plugin/sale"
)

// catalogue is what sales are attributed to: of workspace w1 the links l1 (all
// columns) and l2, the clicks c1 and c2 on them, and a customer for each way.
const catalogue = `
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image, utm, collection_id, partner_id, tenant_id, external_id, created_at) VALUES
	('l1', 'w1', 'https://example.com/?a=1&b=<ä>', 'https://hoko.to/abc', 'Tïtle', 'Descr', 'https://example.com/i.png',
	 '{"source": "s", "medium": "m"}', 'col', 'par', 'ten', 'ext', '2024-01-02T03:04:05.678901Z');
INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at) VALUES
	('l2', 'w1', 'https://example.com/2', 'https://hoko.to/2', '2024-01-01'),
	('x1', 'w2', 'https://example.com/x', 'https://hoko.to/x', '2024-01-01');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES
	('c1', 'w1', 'l1'), ('c2', 'w1', 'l2'), ('c3', 'w1', 'none'), ('c4', 'w1', 'x1'), ('y1', 'w2', 'x1'), ('y2', 'w2', 'l1');
INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, phone, avatar, updated_at, deleted_at) VALUES
	('ada', 'w1', 'ada', 'Ada', 'ada@example.com', '+1', 'https://example.com/a.png', '2024-01-01', NULL),
	('bob', 'w1', 'bob', 'Bob', NULL, NULL, NULL, '2024-01-01', '2024-01-01'),
	('cyd', 'w1', 'cyd', NULL, NULL, NULL, NULL, '2024-01-01', NULL),
	('dan', 'w1', 'dan', 'Dan', NULL, NULL, NULL, '2024-01-01', NULL),
	('eve', 'w1', 'eve', 'Eve', NULL, NULL, NULL, '2024-01-01', NULL),
	('fay', 'w1', 'fay', 'Fay', NULL, NULL, NULL, '2024-01-01', NULL),
	('guy', 'w1', 'guy', 'Guy', NULL, NULL, NULL, '2024-01-01', NULL),
	('xia', 'w2', 'xia', 'Xia', NULL, NULL, NULL, '2024-01-01', NULL);
INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at) VALUES
	('a1', 'w1', 'ada', 'c1', 'l1', 'Sign up', '2024-01-01'),
	('a2', 'w1', 'ada', 'c2', 'l2', 'Trial', '2024-01-02'),
	('a3', 'w1', 'ada', NULL, 'l1', 'Trial', '2024-01-03'),
	('a4', 'w1', 'ada', 'c2', 'l2', 'Demo', '2024-01-03'),
	('b1', 'w1', 'bob', 'c1', 'l1', 'Sign up', '2024-01-01'),
	('d1', 'w1', 'dan', 'y1', 'l1', 'Sign up', '2024-01-01'),
	('e1', 'w1', 'eve', 'purged', 'l1', 'Sign up', '2024-01-01'),
	('f1', 'w1', 'fay', 'c1', 'x1', 'Sign up', '2024-01-01'),
	('g1', 'w2', 'guy', 'y1', 'l1', 'Sign up', '2024-01-01'),
	('x1', 'w2', 'xia', 'y1', 'x1', 'Sign up', '2024-01-01');
`

type change func(*sale.Sale)

func named(name string) change     { return func(s *sale.Sale) { s.Request.CustomerName = name } }
func byLead(event string) change   { return func(s *sale.Sale) { s.Request.LeadEventName = event } }
func byClick(id string) change     { return func(s *sale.Sale) { s.Request.ClickID = id } }
func noting(json string) change    { return func(s *sale.Sale) { s.Request.Metadata = []byte(json) } }
func keyed(key string) change      { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func costing(amount int64) change  { return func(s *sale.Sale) { s.Request.Amount = amount } }
func inWorkspace(id string) change { return func(s *sale.Sale) { s.WorkspaceID = id } }

func mailing(email *string) change {
	return func(s *sale.Sale) { s.Request.CustomerEmail = sale.Optional{Given: true, Value: email} }
}

func pictured(avatar *string) change {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = sale.Optional{Given: true, Value: avatar} }
}

// sell is a sale to a customer that it leaves as the catalogue has it.
func sell(customer, name string, changes ...change) *sale.Sale {
	s := &sale.Sale{ID: uuid.Must(uuid.NewV7()), WorkspaceID: "w1", Request: &sale.Request{
		CustomerExternalID: customer, CustomerName: name, Amount: 12900, Currency: "usd", EventName: "Invoice paid",
	}}
	for _, c := range changes {
		c(s)
	}
	if s.IdempotencyKey != "" {
		s.Fingerprint = s.Request.Fingerprint()
	}
	return s
}

func TestEffectsAndAnswersAreTheEdges(t *testing.T) {
	edge, peer := openShop(t), openShop(t)
	store := edge.store()
	ann, picture := "ann@example.com", "https://example.com/ann.png"
	for name, sales := range map[string][]*sale.Sale{
		"known, unchanged":                      {sell("ada", "Ada")},
		"known, all sent and unchanged":         {sell("bob", "Bob", mailing(nil)), sell("bob", "Bob", mailing(nil), pictured(nil))},
		"other name":                            {sell("ada", "Ann")},
		"other e-mail":                          {sell("ada", "Ada", mailing(&ann))},
		"other avatar":                          {sell("ada", "Ada", pictured(&picture))},
		"all of it other":                       {sell("ada", "Ann", mailing(&ann), pictured(&picture))},
		"e-mail and avatar cleared":             {sell("ada", "Ada", mailing(nil), pictured(nil))},
		"a name where there was none":           {sell("cyd", "Cyd", byClick("c1"))},
		"deleted, comes back":                   {sell("bob", "Bob")},
		"new, by click":                         {sell("zoe", "Zoe", byClick("c2"))},
		"new, all sent":                         {sell("zoe", "Zoe", byClick("c1"), mailing(&ann), pictured(&picture))},
		"new, then known, then changed":         {sell("zoe", "Zoe", byClick("c1")), sell("zoe", "Zoe", byClick("c2")), sell("zoe", "Zed", byClick("c1"))},
		"by lead event, the latest of its name": {sell("ada", "Ada", byLead("Trial"))},
		"by lead event before click":            {sell("ada", "Ada", byLead("Sign up"), byClick("c2"))},
		"no such lead event, by click":          {sell("ada", "Ada", byLead("None"), byClick("c1"))},
		"no such lead event, by latest lead":    {sell("ada", "Ada", byLead("None"))},
		"new, by lead event and click":          {sell("zoe", "Zoe", byLead("Sign up"), byClick("c1"))},
		"by click":                              {sell("ada", "Ada", byClick("c1"))},
		"unknown click":                         {sell("ada", "Ann", byClick("none"))},
		"another workspace's click":             {sell("ada", "Ann", byClick("y1")), sell("ada", "Ann", byClick("y2"))},
		"a click without its link":              {sell("ada", "Ann", byClick("c3"))},
		"a click on another workspace's link":   {sell("ada", "Ann", byClick("c4"))},
		"a lead on another workspace's link":    {sell("fay", "Faye")},
		"another workspace's lead":              {sell("guy", "Gus"), sell("guy", "Gus", byLead("Sign up"))},
		"another workspace's customer":          {sell("xia", "Xia"), sell("xia", "Xia", byClick("c1"))},
		"a lead by another workspace's click":   {sell("dan", "Dan"), sell("dan", "Dan", byLead("Sign up"))},
		"a lead by a purged click":              {sell("eve", "Eve"), sell("eve", "Eve", byLead("Sign up"))},
		"no lead":                               {sell("cyd", "Cyd")},
		"unknown, no click":                     {sell("zoe", "Zoe")},
		"metadata":                              {sell("ada", "Ada", noting(`{"b":1.0,"a":[{"c":"ä"}]}`))},
		"another workspace":                     {sell("xia", "Xia", inWorkspace("w2"))},
		"with a key":                            {sell("ada", "Ann", keyed("k"), mailing(&ann), noting(`{"b":1.0,"a":"ä"}`))},
		"with a key, new":                       {sell("zoe", "Zoe", keyed("k"), byClick("c2"))},
		"a key of two workspaces":               {sell("ada", "Ada", keyed("k")), sell("xia", "Xia", keyed("k"), inWorkspace("w2"))},
		"a key again":                           {sell("ada", "Ann", keyed("k")), sell("ada", "Ada"), sell("ada", "Ann", keyed("k"))},
		"a key again with another request":      {sell("ada", "Ada", keyed("k")), sell("ada", "Ada", keyed("k"), costing(1))},
		"with a key, unattributed":              {sell("zoe", "Zoe", keyed("k"))},
	} {
		t.Run(name, func(t *testing.T) {
			edge.stock(t, catalogue)
			peer.stock(t, catalogue)
			for _, s := range sales {
				recorded := edge.record(store, s)
				if s.IdempotencyKey == "" {
					same(t, "the statement answers", peer.answer(s), recorded)
				} else {
					same(t, "the statement answers", peer.keyedAnswer(s), edge.kept(s, recorded))
				}
				peer.sell(s)
			}
			same(t, "pgbench leaves", peer.rows(), edge.rows())
		})
	}
}

// same compares as JSON, apart from ids that a database has made.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, w := normal(t, got), normal(t, want)
	if g != w {
		t.Errorf("%s\n%s\nand the edge\n%s", what, g, w)
	}
}

func normal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return numberIDs(string(text))
}

// answer is the statement's, as the edge would have it; nil where nothing attributes the sale. It is undone.
func (s *shop) answer(asked *sale.Sale) *sale.Recorded {
	s.t.Helper()
	r := asked.Request
	recorded := &sale.Recorded{SaleID: asked.ID, Amount: r.Amount, Currency: r.Currency, EventName: r.EventName, Metadata: r.Metadata}
	recorded.Customer.Name, recorded.Customer.ExternalID = r.CustomerName, r.CustomerExternalID
	customer, link := &recorded.Customer, &recorded.Link
	var attribution, customerID, linkID, url, shortURL *string
	var created *time.Time
	s.undone(asked, &attribution, &recorded.ClickID, &customerID, &customer.Email, &customer.Phone, &customer.Avatar,
		&linkID, &url, &shortURL, &link.Title, &link.Description, &link.Image, &link.UTM,
		&link.CollectionID, &link.PartnerID, &link.TenantID, &link.ExternalID, &created)
	if linkID == nil {
		return nil
	}
	recorded.Attribution, customer.ID = sale.Attribution(*attribution), *customerID
	link.ID, link.URL, link.ShortURL, link.CreatedAt = *linkID, *url, *shortURL, *created
	return recorded
}

// keptAnswer is what is answered to a request with an Idempotency-Key; zero where it is refused.
type keptAnswer struct {
	SaleID   uuid.UUID
	Response string
}

// keyedAnswer is the statement's. It is undone.
func (s *shop) keyedAnswer(asked *sale.Sale) keptAnswer {
	s.t.Helper()
	var id *uuid.UUID
	var response *string
	s.undone(asked, &id, &response)
	if response == nil {
		return keptAnswer{}
	}
	return keptAnswer{*id, *response}
}

// kept is the edge's.
func (s *shop) kept(asked *sale.Sale, recorded *sale.Recorded) keptAnswer {
	s.t.Helper()
	if recorded == nil {
		return keptAnswer{}
	}
	response := value[string](s, "SELECT response::text FROM hoko.idempotency_keys WHERE workspace_id = $1 AND key = $2", asked.WorkspaceID, asked.IdempotencyKey)
	return keptAnswer{recorded.SaleID, response}
}

// A customer who is new to the statement, but whom another session is just creating.
func TestCustomerCreatedMeanwhileIsChangedAndKeepsTheRest(t *testing.T) {
	s := openShop(t)
	s.stock(t, catalogue)
	site, err := pgx.Connect(guarded(t), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close(context.Background())
	tx, err := site.Begin(guarded(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(guarded(t), "INSERT INTO hoko.customers (id, workspace_id, external_id, name, email) VALUES ('zoe', 'w1', 'zoe', 'Zed', 'zed@example.com')"); err != nil {
		t.Fatal(err)
	}

	sold := make(chan struct{})
	go func() {
		defer close(sold)
		s.sell(sell("zoe", "Zoe", byClick("c1")))
	}()
	const blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	for give := time.Now().Add(hangGuard); value[int](s, blocked) == 0; runtime.Gosched() {
		if time.Now().After(give) {
			t.Fatal("the sale does not wait for the open INSERT")
		}
	}
	if err := tx.Commit(guarded(t)); err != nil {
		t.Fatal(err)
	}
	<-sold

	if got := value[string](s, "SELECT name || ' ' || email FROM hoko.customers WHERE id = 'zoe'"); got != "Zoe zed@example.com" {
		t.Errorf("the customer is %s", got)
	}
	if n := value[int](s, "SELECT count(*) FROM hoko.sales WHERE customer_id = 'zoe'"); n != 1 {
		t.Errorf("%d sales", n)
	}
}
