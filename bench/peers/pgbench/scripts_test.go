package pgbench_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// TestScripts_SameEffectsAsTheEdge runs each script, and records the sale that the load generator
// would send to the edge: ../request.json with the change of the script.
func TestScripts_SameEffectsAsTheEdge(t *testing.T) {
	edge, peer := openDatabase(t), openDatabase(t)
	store, seed := edge.store(), strings.ReplaceAll(read(t, "../seed.sql"), ":customers", "1")
	for script, changes := range map[string][]change{
		"known.sql":   nil,
		"hot.sql":     nil,
		"keyed.sql":   {withKey("order_0000000000000000")},
		"changed.sql": {withName("John Doe 0000000000000000")},
		"new.sql":     {byClick("click_00000000"), toCustomer("new_0000000000000000")},
	} {
		t.Run(script, func(t *testing.T) {
			edge.reset(t, seed)
			peer.reset(t, seed)

			request, err := sale.Decode([]byte(strings.Replace(read(t, "../request.json"), "{pick}", "00000000", 1)))
			if err != nil {
				t.Fatal(err)
			}
			s := &sale.Sale{ID: uuid.Must(uuid.NewV7()), WorkspaceID: "bench", Request: request}
			for _, c := range changes {
				c(s)
			}
			if edge.record(store, s) == nil {
				t.Fatal("the edge has rejected the sale")
			}

			before := rowVersion(peer)
			peer.pgbench(script, "-D", "customers=1")
			expectSame(t, "rows after pgbench", withoutRandom(peer.rows()), withoutRandom(edge.rows()))
			if same := rowVersion(peer) == before; same != (script != "changed.sql") {
				t.Errorf("the customer's row is untouched: %t", same)
			}
		})
	}
}

// rowVersion identifies the version of the customer's row and the transaction that has locked it
// last.
func rowVersion(d *database) string {
	d.T.Helper()
	return d.Text(`SELECT ctid::text || xmin || '/' || xmax FROM hoko.customers
		WHERE external_id = 'customer_00000000'`)
}

func TestScripts_SaleIDIsUUIDv7(t *testing.T) {
	d := openDatabase(t)
	d.reset(t, strings.ReplaceAll(read(t, "../seed.sql"), ":customers", "1"))
	for _, script := range []string{"known.sql", "hot.sql", "keyed.sql", "changed.sql", "new.sql"} {
		d.pgbench(script, "-D", "customers=1")
	}
	n := d.Count(`SELECT count(*) FROM hoko.sales WHERE id::text ~ '^.{14}7.{4}[89ab]'
		AND abs(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint
			- extract(epoch FROM created_at) * 1000) <= 1`)
	if n != 5 {
		t.Errorf("%d of 5 IDs are a UUIDv7 with the time of the sale", n)
	}
}

func toCustomer(id string) change {
	return func(s *sale.Sale) { s.Request.CustomerExternalID = id }
}

var random = regexp.MustCompile(`(John Doe |new_|order_)\d+|\\\\x[0-9a-f]{64}`)

// withoutRandom replaces random values of the scripts, and the fingerprint, which scripts do not
// compute.
func withoutRandom(rows []string) []string {
	for i := range rows {
		rows[i] = random.ReplaceAllString(rows[i], "$1…")
	}
	return rows
}
