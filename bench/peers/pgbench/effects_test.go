package pgbench_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

// seed contains workspace w1 with the links l1 (all columns) and l2, the clicks c1 and c2 on them,
// and a customer for each case of attribution. Workspace w2 owns x1, y1, y2 and xia.
const seed = `
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image, utm, collection_id, partner_id,
	tenant_id, external_id, created_at) VALUES
	('l1', 'w1', 'https://example.com/?a=1&b=<ä>', 'https://hoko.to/abc', 'Tïtle', 'Descr', 'https://example.com/i.png',
	 '{"source": "s", "medium": "m"}', 'col', 'par', 'ten', 'ext', '2024-01-02T03:04:05.678901Z');
INSERT INTO hoko.links (id, workspace_id, url, short_url, created_at) VALUES
	('l2', 'w1', 'https://example.com/2', 'https://hoko.to/2', '2024-01-01'),
	('x1', 'w2', 'https://example.com/x', 'https://hoko.to/x', '2024-01-01');
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES
	('c1', 'w1', 'l1'), ('c2', 'w1', 'l2'), ('c3', 'w1', 'none'), ('c4', 'w1', 'x1'),
	('y1', 'w2', 'x1'), ('y2', 'w2', 'l1');
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

func withName(name string) change    { return func(s *sale.Sale) { s.Request.CustomerName = name } }
func byLead(event string) change     { return func(s *sale.Sale) { s.Request.LeadEventName = event } }
func byClick(id string) change       { return func(s *sale.Sale) { s.Request.ClickID = id } }
func withMetadata(m string) change   { return func(s *sale.Sale) { s.Request.Metadata = []byte(m) } }
func withKey(key string) change      { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func withAmount(amount int64) change { return func(s *sale.Sale) { s.Request.Amount = amount } }
func inWorkspace(id string) change   { return func(s *sale.Sale) { s.WorkspaceID = id } }

func withEmail(email *string) change {
	return func(s *sale.Sale) { s.Request.CustomerEmail = sale.Optional{Given: true, Value: email} }
}

func withAvatar(avatar *string) change {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = sale.Optional{Given: true, Value: avatar} }
}

// newSale returns a sale. It leaves the customer unchanged if name is the one in seed.
func newSale(customer, name string, changes ...change) *sale.Sale {
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

func TestSaleSQL_SameEffectsAsTheEdge(t *testing.T) {
	edge, peer := openDatabase(t), openDatabase(t)
	store := edge.store()
	ann, picture := "ann@example.com", "https://example.com/ann.png"
	const metadata = `{"b":1.0,"a":[{"c":"ä"}]}`
	for name, sales := range map[string][]*sale.Sale{
		"known, unchanged": {newSale("ada", "Ada")},
		"restored, then all sent and unchanged": {
			newSale("bob", "Bob", withEmail(nil)), newSale("bob", "Bob", withEmail(nil), withAvatar(nil)),
		},
		"name changes":                 {newSale("ada", "Ann")},
		"email changes":                {newSale("ada", "Ada", withEmail(&ann))},
		"avatar changes":               {newSale("ada", "Ada", withAvatar(&picture))},
		"all three change":             {newSale("ada", "Ann", withEmail(&ann), withAvatar(&picture))},
		"email and avatar cleared":     {newSale("ada", "Ada", withEmail(nil), withAvatar(nil))},
		"name instead of NULL":         {newSale("cyd", "Cyd", byClick("c1"))},
		"deleted customer is restored": {newSale("bob", "Bob")},
		"new, by click":                {newSale("zoe", "Zoe", byClick("c2"))},
		"new, all sent":                {newSale("zoe", "Zoe", byClick("c1"), withEmail(&ann), withAvatar(&picture))},
		"new, then known, then changed": {newSale("zoe", "Zoe", byClick("c1")), newSale("zoe", "Zoe", byClick("c2")),
			newSale("zoe", "Zed", byClick("c1"))},
		"by lead event, the latest of its name": {newSale("ada", "Ada", byLead("Trial"))},
		"by lead event before click":            {newSale("ada", "Ada", byLead("Sign up"), byClick("c2"))},
		"no such lead event, by click":          {newSale("ada", "Ada", byLead("None"), byClick("c1"))},
		"no such lead event, by latest lead":    {newSale("ada", "Ada", byLead("None"))},
		"new, by lead event and click":          {newSale("zoe", "Zoe", byLead("Sign up"), byClick("c1"))},
		"by click":                              {newSale("ada", "Ada", byClick("c1"))},
		"unknown click":                         {newSale("ada", "Ann", byClick("none"))},
		"another workspace's click": {
			newSale("ada", "Ann", byClick("y1")), newSale("ada", "Ann", byClick("y2")),
		},
		"a click without its link":            {newSale("ada", "Ann", byClick("c3"))},
		"a click on another workspace's link": {newSale("ada", "Ann", byClick("c4"))},
		"a lead on another workspace's link":  {newSale("fay", "Faye")},
		"another workspace's lead":            {newSale("guy", "Gus"), newSale("guy", "Gus", byLead("Sign up"))},
		"another workspace's customer":        {newSale("xia", "Xia"), newSale("xia", "Xia", byClick("c1"))},
		"a lead by another workspace's click": {newSale("dan", "Dan"), newSale("dan", "Dan", byLead("Sign up"))},
		"a lead by a purged click":            {newSale("eve", "Eve"), newSale("eve", "Eve", byLead("Sign up"))},
		"no lead":                             {newSale("cyd", "Cyd")},
		"unknown, no click":                   {newSale("zoe", "Zoe")},
		"metadata":                            {newSale("ada", "Ada", withMetadata(metadata))},
		"another workspace":                   {newSale("xia", "Xia", inWorkspace("w2"))},
		"with a key": {
			newSale("ada", "Ann", withKey("k"), withEmail(&ann), withMetadata(metadata)),
		},
		"with a key, new": {newSale("zoe", "Zoe", withKey("k"), byClick("c2"))},
		"same key in two workspaces": {
			newSale("ada", "Ada", withKey("k")), newSale("xia", "Xia", withKey("k"), inWorkspace("w2")),
		},
		"key is replayed": {
			newSale("ada", "Ann", withKey("k")), newSale("ada", "Ada"), newSale("ada", "Ann", withKey("k")),
		},
		"key with another request": {
			newSale("ada", "Ada", withKey("k")), newSale("ada", "Ada", withKey("k"), withAmount(1)),
		},
		"with a key, unattributed": {newSale("zoe", "Zoe", withKey("k"))},
	} {
		t.Run(name, func(t *testing.T) {
			edge.reset(t, seed)
			peer.reset(t, seed)
			for _, s := range sales {
				recorded := edge.record(store, s)
				if s.IdempotencyKey == "" {
					expectSame(t, "bench.sale returns", peer.callSale(s), recorded)
				} else {
					expectSame(t, "bench.keyed_sale returns", peer.callKeyedSale(s), edge.keyedResponse(s, recorded))
				}
				peer.recordWithPgbench(s)
			}
			expectSame(t, "rows after pgbench", peer.rows(), edge.rows())
		})
	}
}

// expectSame compares two values as JSON, except for generated IDs.
func expectSame(t *testing.T, what string, got, want any) {
	t.Helper()
	g, w := normalize(t, got), normalize(t, want)
	if g != w {
		t.Errorf("%s\n%s\nthe edge:\n%s", what, g, w)
	}
}

func normalize(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return numberIDs(string(text))
}

// callSale calls bench.sale, rolls back and returns the result, or nil if the sale is unattributed.
func (d *database) callSale(s *sale.Sale) *sale.Recorded {
	d.T.Helper()
	r := s.Request
	recorded := &sale.Recorded{
		SaleID: s.ID, Amount: r.Amount, Currency: r.Currency, EventName: r.EventName, Metadata: r.Metadata,
	}
	recorded.Customer.Name, recorded.Customer.ExternalID = r.CustomerName, r.CustomerExternalID
	customer, link := &recorded.Customer, &recorded.Link
	var attribution, customerID, linkID, url, shortURL *string
	var created *time.Time
	d.queryAndRollBack(s, &attribution, &recorded.ClickID, &customerID, &customer.Email, &customer.Phone,
		&customer.Avatar, &linkID, &url, &shortURL, &link.Title, &link.Description, &link.Image, &link.UTM,
		&link.CollectionID, &link.PartnerID, &link.TenantID, &link.ExternalID, &created)
	if linkID == nil {
		return nil
	}
	recorded.Attribution, customer.ID = sale.Attribution(*attribution), *customerID
	link.ID, link.URL, link.ShortURL, link.CreatedAt = *linkID, *url, *shortURL, *created
	return recorded
}

// keyedResponse is the result of a sale with an idempotency key, or zero if it is rejected.
type keyedResponse struct {
	SaleID   uuid.UUID
	Response string
}

// callKeyedSale calls bench.keyed_sale, rolls back and returns the result.
func (d *database) callKeyedSale(s *sale.Sale) keyedResponse {
	d.T.Helper()
	var id *uuid.UUID
	var response *string
	d.queryAndRollBack(s, &id, &response)
	if response == nil {
		return keyedResponse{}
	}
	return keyedResponse{*id, *response}
}

// keyedResponse returns what the edge has stored for a sale that it has recorded.
func (d *database) keyedResponse(s *sale.Sale, recorded *sale.Recorded) keyedResponse {
	d.T.Helper()
	if recorded == nil {
		return keyedResponse{}
	}
	response := d.Text("SELECT response::text FROM hoko.idempotency_keys WHERE workspace_id = $1 AND key = $2",
		s.WorkspaceID, s.IdempotencyKey)
	return keyedResponse{recorded.SaleID, response}
}

// The function does not see the customer that another session is creating, and must not overwrite
// its e-mail address.
func TestSaleSQL_CustomerIsCreatedConcurrently(t *testing.T) {
	d := openDatabase(t)
	d.reset(t, seed)
	site := testenv.Connect(t, d.dsn)
	site.Exec(`BEGIN; INSERT INTO hoko.customers (id, workspace_id, external_id, name, email)
		VALUES ('zoe', 'w1', 'zoe', 'Zed', 'zed@example.com')`)

	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		d.recordWithPgbench(newSale("zoe", "Zoe", byClick("c1")))
	}()
	const blocked = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`
	testenv.Until(t, "the sale waits for the open INSERT", func() bool { return d.Count(blocked) > 0 })
	site.Exec("COMMIT")
	<-recorded

	const want = "Zoe zed@example.com"
	if got := d.Text("SELECT name || ' ' || email FROM hoko.customers WHERE id = 'zoe'"); got != want {
		t.Errorf("the customer is %s, want %s", got, want)
	}
	if n := d.Count("SELECT count(*) FROM hoko.sales WHERE customer_id = 'zoe'"); n != 1 {
		t.Errorf("%d sales, want 1", n)
	}
}
