package adopting

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

var ofLeadsOrSales = regexp.MustCompile(`(?ms)^CREATE VIEW hoko\.(leads|sales) AS$.*?;$|` +
	`^CREATE TRIGGER \w+ INSTEAD OF INSERT ON hoko\.sales$.*?;$`)

// withoutLeadsAndSales makes a step leave leads and sales to the edge's own tables.
func withoutLeadsAndSales(step string) string {
	return ofLeadsOrSales.ReplaceAllString(strings.Replace(step, ", hoko.leads, hoko.sales;", ";", 1), "")
}

func TestSales_OverASiteWithoutLeadsAndSales(t *testing.T) {
	s, _ := startAdopted(t, withoutLeadsAndSales)
	c := s.Client(t, "HTTP/2.0")
	s.DB.Exec(`INSERT INTO hoko.leads (workspace_id, customer_id, link_id, event_name) VALUES ($1, '1', '2', 'Trial')`,
		teamID)
	got := s.Sell(t, c, saleTo("customer_123", "John Doe", ""))
	harness.WantAnswer(t, got, 201, soldTo(1, "customer_123", "John Doe", `"old@example.com"`, `"123"`, "null", 2))
	n := s.DB.Count("SELECT count(*) FROM hoko.sales WHERE id = $1 AND customer_id = '1'",
		got.Header.Get("Hoko-Sale-Id"))
	if n != 1 {
		t.Errorf("%d sales in the edge's own table", n)
	}
}

// growthSQL makes the tables large enough that the plans differ in cost.
const growthSQL = `
INSERT INTO site.teams (title) SELECT 'another' FROM generate_series(1, 500);
INSERT INTO site.tokens (team_id, label, digest, permissions) SELECT '` + teamID + `', '',
	encode(sha256(n::text::bytea), 'hex'), '{}' FROM generate_series(1, 500) n;
INSERT INTO site.short_links (team_id, target, slug) SELECT '` + teamID + `', '', n FROM generate_series(1, 500) n;
INSERT INTO site.visits (link_id) SELECT 1 FROM generate_series(1, 500);
INSERT INTO site.clients (team_id, reference) SELECT '` + teamID + `', n FROM generate_series(1, 500) n;
INSERT INTO site.signups (team_id, client_id, link_id, kind) SELECT '` + teamID + `', 1 + n % 10, 1, n
	FROM generate_series(1, 5000) n;
INSERT INTO site.orders (hoko_id, team_id, client_id, link_id, cents, currency, title)
SELECT gen_random_uuid(), '` + teamID + `', 1, 1, 1, 'usd', '' FROM generate_series(1, 500);
ANALYZE site.teams, site.tokens, site.short_links, site.visits, site.clients, site.signups, site.orders`

// Plans statements as the edge's sessions do. sale says how often each relation or index is read.
func TestPlans_OverASiteUseIndexes(t *testing.T) {
	for name, of := range map[string]struct {
		edit func(string) string
		sale map[string]int
	}{
		"all seven": {nil,
			map[string]int{"idempotency_keys": 1, "orders": 1, "clients": 3, "signups_client_id_kind_made_at_id_idx": 1,
				"signups_client_id_made_at_id_idx": 1, "visits": 2, "short_links": 3}},
		"all but leads and sales": {withoutLeadsAndSales,
			map[string]int{"idempotency_keys": 1, "sales": 1, "clients": 3, "leads_named": 1, "leads_latest": 1,
				"visits": 2, "short_links": 3}},
	} {
		t.Run(name, func(t *testing.T) {
			a := readAdoption(t)
			d := a.apply(t, testenv.Database(t), of.edit)
			d.Exec(growthSQL)
			d.Exec("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;" +
				" SET jit = off")
			sale, key := readQuery(t, "sales/query/sale.sql"), readQuery(t, "keys/query/key.sql")
			d.Exec("PREPARE sale AS " + sale)
			d.Exec("PREPARE waiting_sale AS " + strings.Replace(sale, " SKIP LOCKED", "", 1))
			d.Exec("PREPARE key AS " + key)
			nothing := " (" + strings.Repeat("'{}', ", 16) + "true)"
			wantProbes(t, d, "EXECUTE sale"+nothing, of.sale)
			wantProbes(t, d, "EXECUTE waiting_sale"+nothing, of.sale)
			wantProbes(t, d, "EXECUTE key ('{}')", map[string]int{"tokens": 1, "teams": 1})
			if of.edit == nil {
				d.Exec(a.flag) // changes a view under the prepared statements
				wantProbes(t, d, "EXECUTE sale"+nothing, of.sale)
			}
		})
	}
}

func readQuery(t testing.TB, name string) string {
	t.Helper()
	return harness.ReadRoot(t, "plugin/postgres/"+name)
}

type planNode struct {
	Kind           string `json:"Node Type"`
	Relation       string `json:"Relation Name"`
	Index          string `json:"Index Name"`
	IndexCondition string `json:"Index Cond"`
	Plans          []planNode
}

func (n planNode) walk(visit func(planNode)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}

func wantProbes(t testing.TB, d harness.DB, statement string, want map[string]int) {
	t.Helper()
	var text string
	testenv.NoError(t, d.Conn.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+statement,
		pgx.QueryExecModeSimpleProtocol).Scan(&text))
	var plans []struct{ Plan planNode }
	testenv.NoError(t, json.Unmarshal([]byte(text), &plans))
	read := map[string]int{}
	plans[0].Plan.walk(func(n planNode) {
		if n.Relation == "" || n.Kind == "ModifyTable" {
			return
		}
		read[n.Relation]++
		read[n.Index]++
		if n.IndexCondition == "" {
			t.Errorf("%.12s…: %s of %s without an index condition", statement, n.Kind, n.Relation)
		}
	})
	for name, times := range want {
		if read[name] != times {
			t.Errorf("%.12s…: %s is read %d times, want %d (%v)", statement, name, read[name], times, read)
		}
	}
}

func TestSQL_OverASite(t *testing.T) {
	dsn := testenv.Database(t)
	a := readAdoption(t)
	d := a.apply(t, dsn, nil)
	wantError := func(sql, code string) {
		t.Helper()
		_, err := d.Conn.Exec(t.Context(), sql)
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != code {
			t.Errorf("%s: %v, want SQLSTATE %s", sql, err, code)
		}
	}
	t.Run("a sale ID is unique", func(t *testing.T) {
		insert := `INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution,
			amount, currency, event_name, metadata)
			VALUES ('01890000-0000-7000-8000-000000000000', '` + teamID +
			`', '1', NULL, '1', 1, 'latest-lead', 1, 'usd', 'Purchase', NULL)`
		d.Exec(insert)
		wantError(insert, pgerrcode.UniqueViolation)
	})
	t.Run("a customer is created once", func(t *testing.T) {
		insert := `WITH made AS (INSERT INTO hoko.customers (workspace_id, external_id, name) VALUES ('` + teamID +
			`', 'x', 'X') ON CONFLICT DO NOTHING RETURNING id) SELECT count(*) FROM made`
		if first, second := d.Count(insert), d.Count(insert); first != 1 || second != 0 {
			t.Errorf("%d and then %d rows, want 1 and 0", first, second)
		}
	})
	t.Run("a key is revoked only with the trigger", func(t *testing.T) {
		const revoke = "SELECT hoko.revoke_key('2', 'alice@bastion') IS NOT NULL"
		wantError(revoke, pgerrcode.FeatureNotSupported)
		d.Exec(a.revoke)
		revoked := testenv.Value[bool](d.DB, revoke)
		if !revoked || d.Count("SELECT count(*) FROM site.tokens WHERE id = 2 AND active") != 0 {
			t.Error("the key is not revoked")
		}
		if d.Count("SELECT count(*) FROM hoko.audit WHERE key_id = '2' AND os_user = 'alice@bastion'") != 1 {
			t.Error("the audit lacks the revocation")
		}
	})
	t.Run("other roles may not use the functions that write", func(t *testing.T) {
		if d.Count(`SELECT count(*) FROM pg_proc WHERE pronamespace = 'hoko'::regnamespace AND prosecdef
			AND has_function_privilege('public', oid, 'EXECUTE')`) != 0 {
			t.Error("PUBLIC may execute a SECURITY DEFINER function")
		}
	})
	t.Run("the site's tables notify", func(t *testing.T) { wantSiteNotifies(t, d, dsn) })
}

func wantSiteNotifies(t *testing.T, d harness.DB, dsn string) {
	var all, team = "key:" + digestOf(d, harness.FullKey), "workspace:" + teamID
	listener := harness.Connect(t, dsn)
	listener.Exec("LISTEN hoko_keys")
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{`UPDATE site.tokens SET last_used_at = now(), label = label || '!', digest = digest`, nil},
		{`UPDATE site.tokens SET active = false WHERE label = 'all!'`, []string{all}},
		{`UPDATE site.tokens SET permissions = '{}' WHERE label = 'all!'`, []string{all}},
		{`UPDATE site.tokens SET valid_until = now() WHERE label = 'all!'`, []string{all}},
		{`UPDATE site.tokens SET digest = encode(sha256('other'), 'hex') WHERE label = 'all!'`,
			[]string{all, "key:" + digestOf(d, "other")}},
		{`INSERT INTO site.tokens (team_id, label, digest, permissions) VALUES ('` + teamID +
			`', 'new', upper(encode(sha256('new'), 'hex')), '{}')`, []string{"key:" + digestOf(d, "new")}},
		{`SET session_replication_role = replica; DELETE FROM site.tokens WHERE label = 'new';
			RESET session_replication_role`, []string{"key:" + digestOf(d, "new")}},
		{`UPDATE site.teams SET title = 'x'`, nil},
		{`UPDATE site.teams SET suspended = NOT suspended WHERE id = '` + teamID + `'`, []string{team}},
		{`UPDATE site.teams SET requests_per_minute = NULL WHERE id = '` + teamID + `'`, []string{team}},
		{`INSERT INTO site.teams (id, title) VALUES ('cccccccc-0000-4000-8000-000000000000', '')`, nil},
		{`DELETE FROM site.teams WHERE title = ''`, []string{"workspace:cccccccc-0000-4000-8000-000000000000"}},
		{`TRUNCATE site.tokens`, []string{""}},
		{`TRUNCATE site.teams CASCADE`, []string{""}},
	} {
		d.Exec(c.sql)
		d.Exec("NOTIFY hoko_keys, 'end'")
		if got := notifiedBefore(t, listener.Conn, "end"); !slices.Equal(got, c.want) {
			t.Errorf("%s notified %q, want %q", c.sql, got, c.want)
		}
	}
}

func digestOf(d harness.DB, key string) (digest string) {
	d.T.Helper()
	testenv.NoError(d.T, d.Conn.QueryRow(d.T.Context(), "SELECT encode(sha256($1), 'hex')", []byte(key)).Scan(&digest))
	return digest
}

// notifiedBefore returns the payloads that arrive before last.
func notifiedBefore(t testing.TB, conn *pgx.Conn, last string) (payloads []string) {
	t.Helper()
	for {
		n, err := conn.WaitForNotification(t.Context())
		testenv.NoError(t, err)
		if n.Payload == last {
			return payloads
		}
		payloads = append(payloads, n.Payload)
	}
}
