package adopting

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// adoption is the SQL of docs/adopting.md: the tables of the site, the steps that put the edge over
// them in one transaction, and the changes for the command that revokes and for a flag instead of a
// time.
type adoption struct {
	tables string
	steps  []string
	revoke string
	flag   string
}

var sqlBlock = regexp.MustCompile("(?ms)^```sql\n(.*?)^```$")

func readAdoption(t testing.TB) adoption {
	t.Helper()
	doc := harness.ReadRoot(t, "docs/adopting.md")
	var blocks []string
	for _, m := range sqlBlock.FindAllStringSubmatch(doc, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 8 {
		t.Fatalf("found %d SQL blocks, want 8: the tables, five steps, the revocation and the flag", len(blocks))
	}
	return adoption{blocks[0], blocks[1:6], blocks[6], blocks[7]}
}

const (
	teamID      = "aaaaaaaa-0000-4000-8000-000000000001"
	otherTeamID = "aaaaaaaa-0000-4000-8000-000000000002"
	visitID     = "bbbbbbbb-0000-4000-8000-000000000001"
	otherVisit  = "bbbbbbbb-0000-4000-8000-000000000002"
)

// siteSQL fills the site's own tables. Identity columns count from 1.
const siteSQL = `
INSERT INTO site.teams (id, title, requests_per_minute)
VALUES ('` + teamID + `', 'One', 1000000), ('` + otherTeamID + `', 'Two', NULL);
INSERT INTO site.tokens (team_id, label, digest, permissions) VALUES
	('` + teamID + `', 'all', encode(sha256('` + harness.FullKey + `'), 'hex'), '{sales:write,links:read,pages:write}'),
	('` + teamID + `', 'reads', encode(sha256('` + harness.ReadOnlyKey + `'), 'hex'), '{links:read}');
INSERT INTO site.short_links (team_id, target, slug, page_title, utm_source, is_deleted, made_at) VALUES
	('` + teamID + `', 'https://example.com/a', 'a', 'A', 'mail', false, '2024-01-02 03:04:05.5'),
	('` + teamID + `', 'https://example.com/b', 'b', NULL, NULL, true, '2024-01-01'),
	('` + otherTeamID + `', 'https://example.org', 'c', NULL, NULL, false, '2024-01-01');
INSERT INTO site.visits (id, link_id) VALUES ('` + visitID + `', 1), ('` + otherVisit + `', 3);
INSERT INTO site.clients (team_id, reference, full_name, mail, phone, changed_at, removed_at) VALUES
	('` + teamID + `', 'customer_123', 'John Doe', 'old@example.com', '123', '2024-01-01', NULL),
	('` + teamID + `', 'removed', 'Gone', NULL, NULL, '2024-01-01', '2024-01-01');
INSERT INTO site.signups (team_id, client_id, link_id, visit_id, kind, made_at) VALUES
	('` + teamID + `', 1, 1, '` + visitID + `', 'Sign up', '2024-01-01'),
	('` + teamID + `', 1, 1, NULL, 'Trial', '2024-01-02'), ('` + teamID + `', 1, 2, NULL, 'Trial', '2024-01-02');
`

// apply creates the example's site and puts the edge over it. edit, if not nil, changes each step.
func (a adoption) apply(t testing.TB, dsn string, edit func(string) string) harness.DB {
	t.Helper()
	d := harness.Connect(t, dsn)
	d.Exec(a.tables)
	d.Exec(siteSQL)
	d.Exec("BEGIN")
	for _, step := range a.steps {
		if edit != nil {
			step = edit(step)
		}
		d.Exec(step)
	}
	d.Exec("COMMIT")
	d.ApplyRole()
	return d
}

// startAdopted starts an edge over the example's site with only the rights of docs/role.sql.
func startAdopted(t testing.TB, edit func(string) string) (*harness.Stack, adoption) {
	t.Helper()
	a, dsn, site := readAdoption(t), testenv.Database(t), harness.StartSite(t, nil)
	d := a.apply(t, dsn, edit)
	e := harness.Start(t, harness.Settings{DatabaseURL: dsn + "&role=hoko_edge", RedisURL: testenv.Redis(t),
		Upstream: site.Upstream(), Edit: harness.Replace("ttl 60s", "ttl 1h")}) // only notifications trigger lookups
	return &harness.Stack{Edge: e, DB: d, Site: site, DSN: dsn}, a
}

// soldTo returns the answer to a sale of saleTo. link is 1 or 2; click, email and phone are JSON.
func soldTo(customerID int, externalID, name, email, phone, click string, link int) string {
	slug, title, utm, created := "a", `"A"`, `{"source":"mail"}`, "2024-01-02T03:04:05.5Z"
	if link == 2 {
		slug, title, utm, created = "b", "null", "null", "2024-01-01T00:00:00Z"
	}
	return fmt.Sprintf(`{"click":%s,"link":{"id":"%d","url":"https://example.com/%s",`+
		`"shortUrl":"https://sho.rt/%[3]s","qrCode":"https://sho.rt/qrcode?text=https%%3A%%2F%%2Fsho.rt%%2F%[3]s%%3Fqr`+
		`%%3D1&size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg",`+
		`"title":%[4]s,"description":null,"image":null,"utm":%[5]s,"collectionId":null,"partnerId":null,`+
		`"tenantId":null,"externalId":null,"createdAt":"%[6]s"},`+
		`"customer":{"id":"%[7]d","name":"%[8]s","email":%[9]s,"phone":%[10]s,"avatar":null,"externalId":"%[11]s"},`+
		`"sale":{"amount":100,"currency":"usd","eventName":"Purchase","metadata":{"n":1.0}}}`,
		click, link, slug, title, utm, created, customerID, name, email, phone, externalID)
}

// saleTo returns a sale of 100. more is appended to its members.
func saleTo(externalID, name, more string) string {
	return fmt.Sprintf(`{"customerExternalId":"%s","customerName":"%s","amount":100,"metadata":{"n":1.0}%s}`,
		externalID, name, more)
}

const visited = `{"id":"` + visitID + `"}`

func TestSales_OverASite(t *testing.T) {
	s, _ := startAdopted(t, nil)
	c := s.Client(t, "HTTP/2.0")
	john := func(condition string) {
		t.Helper()
		if s.DB.Count("SELECT count(*) FROM site.clients WHERE id = 1 AND "+condition) != 1 {
			t.Errorf("wrong in the site's table: %s", condition)
		}
	}
	t.Run("201 by click creates a customer and an order", func(t *testing.T) {
		got := s.Sell(t, c, saleTo("new", "New", `,"customerEmail":"new@example.com","clickId":"`+visitID+`"`))
		id := s.DB.Count(`SELECT id FROM site.clients WHERE reference = 'new' AND full_name = 'New'
			AND mail = 'new@example.com' AND team_id = $1`, teamID)
		harness.WantAnswer(t, got, 201, soldTo(id, "new", "New", `"new@example.com"`, "null", visited, 1))
		harness.WantHeader(t, got, "Hoko-Attribution", "click")
		harness.WantHeader(t, got, "X-RateLimit-Limit", "1000000")
		if s.DB.Count(`SELECT count(*) FROM site.orders WHERE hoko_id = $1 AND team_id = $2 AND client_id = $3
			AND link_id = 1 AND visit_id = $4 AND signup_id IS NULL AND attribution = 'click' AND cents = 100
			AND currency = 'usd' AND title = 'Purchase' AND details = '{"n": 1}'`,
			got.Header.Get("Hoko-Sale-Id"), teamID, id, visitID) != 1 {
			t.Error("the order is missing from the site's table")
		}
	})
	t.Run("201 by the latest lead, of two at the same time the one with the greater ID", func(t *testing.T) {
		got := s.Sell(t, c, saleTo("customer_123", "John Doe", ""))
		harness.WantAnswer(t, got, 201, soldTo(1, "customer_123", "John Doe", `"old@example.com"`, `"123"`, "null", 2))
		harness.WantHeader(t, got, "Hoko-Attribution", "latest-lead")
		if s.DB.Count("SELECT signup_id FROM site.orders WHERE hoko_id = $1", got.Header.Get("Hoko-Sale-Id")) != 3 {
			t.Error("the order has another lead")
		}
		john("changed_at = '2024-01-01'")
	})
	t.Run("201 by lead name, with a changed email", func(t *testing.T) {
		got := s.Sell(t, c, saleTo("customer_123", "John Doe",
			`,"leadEventName":"Sign up","customerEmail":"john@example.com"`))
		harness.WantAnswer(t, got, 201, soldTo(1, "customer_123", "John Doe", `"john@example.com"`,
			`"123"`, visited, 1))
		harness.WantHeader(t, got, "Hoko-Attribution", "lead-event")
		john("mail = 'john@example.com' AND phone = '123' AND changed_at > '2024-01-01'")
	})
	t.Run("an absent email is kept, null clears it", func(t *testing.T) {
		s.Sell(t, c, saleTo("customer_123", "Johnny", ""))
		john("mail = 'john@example.com' AND full_name = 'Johnny'")
		harness.WantAnswer(t, s.Sell(t, c, saleTo("customer_123", "Johnny", `,"customerEmail":null`)), 201,
			soldTo(1, "customer_123", "Johnny", "null", `"123"`, "null", 2))
		john("mail IS NULL AND full_name = 'Johnny'")
	})
	t.Run("a removed customer comes back", func(t *testing.T) {
		harness.WantAnswer(t, s.Sell(t, c, saleTo("removed", "Back", `,"clickId":"`+visitID+`"`)), 201,
			soldTo(2, "removed", "Back", "null", "null", visited, 1))
		if s.DB.Count(`SELECT count(*) FROM site.clients WHERE id = 2 AND removed_at IS NULL
			AND full_name = 'Back'`) != 1 {
			t.Error("the customer is still removed")
		}
	})
	t.Run("the same Idempotency-Key is a replay", func(t *testing.T) {
		body := saleTo("once", "Once", `,"clickId":"`+visitID+`"`)
		first := s.Sell(t, c, body, "Idempotency-Key", "k")
		harness.WantAnswer(t, first, 201, soldTo(s.DB.Count("SELECT id FROM site.clients WHERE reference = 'once'"),
			"once", "Once", "null", "null", visited, 1))
		again := s.Sell(t, c, body, "Idempotency-Key", "k")
		harness.WantAnswer(t, again, 201, first.Text)
		harness.WantHeader(t, again, "Idempotency-Replayed", "true")
		n := s.DB.Count(`SELECT count(*) FROM site.orders JOIN site.clients c ON c.id = client_id
			WHERE reference = 'once'`)
		if n != 1 {
			t.Errorf("%d orders", n)
		}
	})
	t.Run("400 for another team's click and for a malformed ID", func(t *testing.T) {
		for _, click := range []string{otherVisit, "no uuid"} {
			harness.WantAnswer(t, s.Sell(t, c, saleTo("unknown", "N", `,"clickId":"`+click+`"`)), 400, harness.Body400)
		}
		if s.DB.Count("SELECT count(*) FROM site.clients WHERE reference = 'unknown'") != 0 {
			t.Error("a customer was created")
		}
	})
	t.Run("403 without the permission", func(t *testing.T) {
		harness.WantAnswer(t, s.SellAs(t, c, harness.ReadOnlyKey), 403, harness.Body403)
	})
	t.Run("the commands work", func(t *testing.T) { tryCommands(t, s) })
	t.Run("the edge waits for a locked customer", func(t *testing.T) { sellWhileHeld(t, s, c) })
	t.Run("401 after the site revokes the key", func(t *testing.T) {
		s.DB.Exec("UPDATE site.teams SET suspended = true WHERE id = $1", teamID)
		s.UntilRejected(t, c)
		s.DB.Exec("UPDATE site.teams SET suspended = false WHERE id = $1", teamID)
		for range 10_000 { // until the edge has received the notification
			if s.Sell(t, c, harness.ValidSale).StatusCode == 201 {
				break
			}
		}
		s.DB.Exec("UPDATE site.tokens SET active = false WHERE label = 'all'")
		s.UntilRejected(t, c)
	})
}

func tryCommands(t *testing.T, s *harness.Stack) {
	for _, command := range []struct {
		args []string
		want string
	}{
		{[]string{"hoko", "doctor"}, "the role can record them"},
		{[]string{"hoko", "keys", "list"}, "conversionsWrite"},
		{[]string{"hoko", "migrate", "--database-url", s.DSN}, "as this edge needs"},
	} {
		if out, err := s.Caddy(t, command.args...); err != nil || !strings.Contains(out, command.want) {
			t.Errorf("%s: %v\n%s", command.args, err, out)
		}
	}
}

// sellWhileHeld sells to customers that a transaction of the site is creating or changing. The
// transaction commits when the edge waits for it.
func sellWhileHeld(t *testing.T, s *harness.Stack, c *http.Client) {
	for reference, change := range map[string]string{
		"held new": `INSERT INTO site.clients (team_id, reference, full_name, phone)
			VALUES ('` + teamID + `', $1, 'Site', '456')`,
		"removed": `UPDATE site.clients SET phone = '456' WHERE reference = $1`,
	} {
		held := harness.Connect(t, s.DSN)
		held.Exec("BEGIN")
		held.Exec(change, reference)
		released := make(chan error, 1)
		go func() { released <- commitWhenAwaited(s.DB.Conn, held.Conn) }()
		got := s.Sell(t, c, saleTo(reference, "Sold", `,"clickId":"`+visitID+`"`))
		testenv.NoError(t, <-released)
		id := s.DB.Count("SELECT id FROM site.clients WHERE reference = $1 AND full_name = 'Sold'", reference)
		harness.WantAnswer(t, got, 201, soldTo(id, reference, "Sold", "null", `"456"`, visited, 1))
	}
}

// commitWhenAwaited commits the holder's transaction when a session of an edge waits for a lock.
func commitWhenAwaited(observer, holder *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), harness.HangGuard)
	defer cancel()
	for waiting := 0; waiting == 0; {
		const count = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'hoko-edge' AND wait_event_type = 'Lock'`
		if err := observer.QueryRow(ctx, count).Scan(&waiting); err != nil {
			return err
		}
	}
	_, err := holder.Exec(ctx, "COMMIT")
	return err
}

func TestSales_OverCustomersWithAFlag(t *testing.T) {
	s, a := startAdopted(t, nil)
	c := s.Client(t, "HTTP/2.0")
	s.DB.Exec(a.flag)
	s.DB.Exec("UPDATE site.clients SET is_removed = true WHERE reference = 'removed'")
	harness.WantAnswer(t,
		s.Sell(t, c, saleTo("removed", "Back", `,"customerEmail":"back@example.com","clickId":"`+visitID+`"`)), 201,
		soldTo(2, "removed", "Back", `"back@example.com"`, "null", visited, 1))
	if s.DB.Count(`SELECT count(*) FROM site.clients WHERE id = 2 AND NOT is_removed AND full_name = 'Back'
		AND mail = 'back@example.com'`) != 1 {
		t.Error("the customer does not match the sale")
	}
}
