package sales_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/internal/pgtest"
	"hoko.to/edge/plugin/postgres/keys"
)

// A session keeps its plan until the next ANALYZE, while the database grows. So the plan for a
// small database must also serve a large one.
func TestPlans_ProbeIndexesAtAnySize(t *testing.T) {
	statements := hotStatements(t)
	for _, state := range []struct {
		name    string
		rows    int // of each table
		analyze string
	}{
		{"freshly migrated", 0, ""},
		{"vacuumed while empty", 0, "VACUUM ANALYZE"},
		{"of 5 rows", 5, "ANALYZE"},
		{"of 200,000 rows", 200_000, "ANALYZE"},
	} {
		t.Run("database "+state.name, func(t *testing.T) {
			dsn := testenv.Database(t)
			db := testenv.Connect(t, dsn)
			pgtest.Fill(db, 1, state.rows)
			if state.analyze != "" {
				db.Exec(state.analyze)
			}
			var sessions []plannedStatement
			for _, statement := range statements {
				planned := statement.plan(t, dsn)
				planned.expectProbes()
				sessions = append(sessions, planned)
			}
			if grown := 1000; state.rows < grown {
				pgtest.Fill(db, state.rows+1, grown)
			}
			for _, planned := range sessions {
				planned.expectFewPages()
			}
		})
	}
}

// hotStatement is a statement that an edge prepares, with its session's parameters.
type hotStatement struct {
	name, sql  string
	parameters map[string]string
}

// hotStatements returns all statements that the stores actually send.
func hotStatements(t *testing.T) (all []hotStatement) {
	t.Helper()
	shop := openShop(t)
	wire := pgtest.Tap(t, shop.DSN)
	var mu sync.Mutex
	heard := map[string]map[string]string{}
	wire.OnParse = func(parameters map[string]string, statement string) {
		mu.Lock()
		defer mu.Unlock()
		heard[statement] = parameters
	}
	wire.Resume()

	store := openStore(t, wire.DSN)
	mustRecord(t, store, sell("k", keyed("key")))
	mustRecord(t, store, sell("k", keyed("key"))) // a replay
	session := shop.Lock(lockCustomer, "k")
	slow := begin(t, store, sell("k", named("changed")))
	shop.untilBlocked()
	session.Exec("COMMIT")
	expectRecorded(t, slow)
	o := postgres.Options{DSN: wire.DSN, ListenDSN: shop.DSN}
	_, _ = pgtest.OpenKeys(t, o).Key(testenv.Guarded(t), apikey.Hash{})
	testenv.NoError(t, keys.CheckListener(testenv.Guarded(t), o))

	mu.Lock()
	defer mu.Unlock()
	named := map[string]bool{}
	for sql, parameters := range heard {
		all = append(all, hotStatement{statementName(sql), sql, parameters})
		named[statementName(sql)] = true
	}
	for _, name := range []string{"sale", "sale in the slow lane", "single sale", "key", "heartbeat"} {
		if !named[name] {
			t.Fatalf("%s was not heard among %v", name, named)
		}
	}
	return all
}

func statementName(sql string) string {
	for _, known := range [][2]string{
		{"FOR NO KEY UPDATE SKIP LOCKED", "sale"}, {"FOR NO KEY UPDATE", "sale in the slow lane"},
		{"customer.same", "single sale"}, {"hoko.api_keys", "key"}, {"pg_notify", "heartbeat"},
	} {
		if strings.Contains(sql, known[0]) {
			return known[1]
		}
	}
	return sql
}

// plannedStatement is a statement with the plan that its session keeps.
type plannedStatement struct {
	hotStatement
	session testenv.DB
}

func (s hotStatement) plan(t *testing.T, dsn string) plannedStatement {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	testenv.NoError(t, err)
	maps.Copy(config.RuntimeParams, s.parameters)
	delete(config.RuntimeParams, "user")
	delete(config.RuntimeParams, "database")
	conn, err := pgx.ConnectConfig(testenv.Guarded(t), config)
	testenv.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(testenv.Guarded(t)) })
	p := plannedStatement{s, testenv.DB{T: t, Conn: conn}}
	p.session.Exec("PREPARE hot AS " + s.sql)
	return p
}

// expectProbes checks that an index bounds each scan of a table at both ends.
func (p plannedStatement) expectProbes() {
	t := p.session.T
	t.Helper()
	parameters := testenv.Value[int](p.session,
		"SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'hot'")
	arguments := ""
	if parameters > 0 {
		arguments = "(" + strings.Repeat("NULL, ", parameters-1) + "NULL)"
	}
	read := map[string]int{}
	p.explain("EXPLAIN (FORMAT JSON) EXECUTE hot " + arguments).walk(func(n planNode) {
		// schema_version has one row and no index.
		if n.Relation == "" || n.Kind == "ModifyTable" || n.Relation == "schema_version" {
			return
		}
		read[n.Relation]++
		read[n.Index]++
		if n.IndexCondition == "" {
			t.Errorf("%s: %s of %s without an index condition", p.name, n.Kind, n.Relation)
		}
	})
	for name, times := range probes[p.name] {
		if read[name] != times {
			t.Errorf("%s: %s is read %d times, want %d", p.name, name, read[name], times)
		}
	}
}

// probes counts the probes of tables, and of indexes that could replace one another.
var probes = map[string]map[string]int{
	"key": {"api_keys": 1, "workspaces": 1, "api_keys_key_hash_key": 1},
	"sale": {"idempotency_keys": 1, "sales": 1, "customers": 3, "leads": 2, "leads_named": 1,
		"leads_latest": 1, "clicks": 2, "links": 1},
	"single sale": {"customers": 1, "leads": 2, "leads_named": 1, "leads_latest": 1, "clicks": 2, "links": 1},
	"sale in the slow lane": {"idempotency_keys": 1, "sales": 1, "customers": 3, "leads": 2, "leads_named": 1,
		"leads_latest": 1, "clicks": 2, "links": 1},
}

func (p plannedStatement) expectFewPages() {
	switch p.name {
	case "sale", "sale in the slow lane":
		for _, b := range batches {
			p.expectFewPagesOf(b.name, b.execution(p.session), fullBatch)
		}
	case "single sale":
		for _, b := range batches {
			if execute := b.singleExecution(p.session); execute != "" {
				p.expectFewPagesOf(b.name, execute, 1)
			}
		}
	case "key":
		const most = 1000 // about the batch of apikey
		hashes := testenv.Value[string](p.session,
			fmt.Sprintf("SELECT array_agg(sha256(i::text::bytea))::text FROM generate_series(1, %d) i", most))
		p.expectFewPagesOf("a key", "EXECUTE hot (ARRAY[sha256('7')])", 1)
		p.expectFewPagesOf("a batch of keys", "EXECUTE hot ('"+hashes+"')", most)
	}
}

// expectFewPagesOf executes the statement for n sales or keys. No step of the plan may read more
// than n rows, nor the whole more pages per sale than a few probes and inserts need.
func (p plannedStatement) expectFewPagesOf(what, execute string, n int) {
	t := p.session.T
	t.Helper()
	const enough = 60 // measured: 41 at most
	p.session.Exec("BEGIN")
	plan := p.explain("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + execute)
	p.session.Exec("ROLLBACK")
	pages := 0
	plan.walk(func(node planNode) {
		if rows := node.Loops * (node.Rows + node.Filtered + node.JoinFiltered); rows > float64(2*n) {
			t.Errorf("%s, %s: %s of %s looks at %v rows", p.name, what, node.Kind, node.Relation, rows)
		}
		if node.Relation != "" || node.Kind == "LockRows" {
			pages += node.Hit + node.Read
			for _, child := range node.Plans { // whose pages are in its own
				pages -= child.Hit + child.Read
			}
		}
	})
	if pages > enough*(n+1) {
		t.Errorf("%s, %s: %d pages each", p.name, what, pages/n)
	}
}

func (p plannedStatement) explain(sql string) planNode {
	p.session.T.Helper()
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(testenv.Value[string](p.session, sql)), &plans); err != nil {
		p.session.T.Fatal(err)
	}
	return plans[0].Plan
}

type planNode struct {
	Kind           string  `json:"Node Type"`
	Relation       string  `json:"Relation Name"`
	Index          string  `json:"Index Name"`
	IndexCondition string  `json:"Index Cond"`
	Loops          float64 `json:"Actual Loops"`
	Rows           float64 `json:"Actual Rows"`
	Filtered       float64 `json:"Rows Removed by Filter"`
	JoinFiltered   float64 `json:"Rows Removed by Join Filter"`
	Hit            int     `json:"Shared Hit Blocks"`
	Read           int     `json:"Shared Read Blocks"`
	Plans          []planNode
}

func (n planNode) walk(visit func(planNode)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}

const fullBatch = 128

type batch struct{ name, customer, called, lead, click, key, id string }

// batches describe the sales 1 to fullBatch as SQL over their number i, on the rows of fill. The
// first customer has a quarter of all leads.
var batches = []batch{
	{name: "unchanged customers", customer: "'e' || i", called: "'n' || i", click: "'c' || i"},
	{name: "changed customers", customer: "'e' || i", called: "'changed'", click: "'c' || i"},
	{name: "new customers", customer: "'new' || i", called: "'new'", click: "'c' || i"},
	{name: "one unchanged customer", customer: "'e1'", called: "'n1'", click: "'c' || i"},
	{name: "one changed customer", customer: "'e1'", called: "'changed' || i", click: "'c' || i"},
	{name: "one new customer", customer: "'new'", called: "'new'", click: "'c' || i"},
	{name: "latest leads", customer: "'e' || (4 * i + 1)", called: "'n' || (4 * i + 1)"},
	{name: "the latest of many leads", customer: "'e1'", called: "'n1'"},
	{name: "the oldest of many leads, by name", customer: "'e1'", called: "'n1'", lead: "'Rare'"},
	{name: "none of many leads, by name", customer: "'e1'", called: "'n1'", lead: "'None'", click: "'c' || i"},
	{name: "new idempotency keys", customer: "'e' || i", called: "'n' || i", click: "'c' || i", key: "'new' || i"},
	{name: "replays", customer: "'e' || i", called: "'n' || i", click: "'c' || i", key: "'key' || i"},
	{name: "recorded sales", customer: "'e' || i", called: "'n' || i", click: "'c' || i", id: "lpad(i::text, 32, '0')"},
}

// execution returns SQL that executes the sale statement, prepared as hot, with this batch.
func (b batch) execution(d testenv.DB) string {
	d.T.Helper()
	columns := append(b.columns(), cmp.Or(b.key, "NULL"), "''")
	return b.execute(d, columns, "array_agg", ", true", fullBatch)
}

// singleExecution returns SQL that executes the single-sale statement with the first sale, "" if it
// is not for that sale.
func (b batch) singleExecution(d testenv.DB) string {
	d.T.Helper()
	if b.key != "" || b.id != "" {
		return ""
	}
	return b.execute(d, b.columns(), "max", "", 1)
}

func (b batch) columns() []string {
	return []string{
		"'w1'", b.customer, b.called, "NULL", "true", "NULL", "true", cmp.Or(b.lead, "NULL"), cmp.Or(b.click, "NULL"),
		cmp.Or(b.id, "gen_random_uuid()"), "i", "'usd'", "'Purchase'", "'{}'",
	}
}

func (b batch) execute(d testenv.DB, columns []string, aggregate, more string, sales int) string {
	d.T.Helper()
	var parameters []string
	for _, column := range columns {
		parameters = append(parameters, fmt.Sprintf("%s((%s)::text)", aggregate, column))
	}
	return testenv.Value[string](d, fmt.Sprintf(`SELECT format('EXECUTE hot (%s%s)', %s) FROM generate_series(1, %d) i`,
		strings.Repeat(", %L", len(columns))[2:], more, strings.Join(parameters, ", "), sales))
}
