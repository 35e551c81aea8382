package pgbench_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// The scripts sell what a load generator asks the edge for: ../request.json,
// changed as each script says, to the only customer of ../seed.sql.
func TestScriptsSellWhatTheEdgeIsAskedFor(t *testing.T) {
	edge, peer := openShop(t), openShop(t)
	store, seed := edge.store(), strings.ReplaceAll(read(t, "../seed.sql"), ":customers", "1")
	for script, changes := range map[string][]change{
		"known.sql":   nil,
		"hot.sql":     nil,
		"keyed.sql":   {keyed("order_0000000000000000")},
		"changed.sql": {named("John Doe 0000000000000000")},
		"new.sql":     {byClick("click_00000000"), toCustomer("new_0000000000000000")},
	} {
		t.Run(script, func(t *testing.T) {
			edge.stock(t, seed)
			peer.stock(t, seed)

			request, err := sale.Decode([]byte(strings.Replace(read(t, "../request.json"), "{pick}", "00000000", 1)))
			if err != nil {
				t.Fatal(err)
			}
			asked := &sale.Sale{ID: uuid.Must(uuid.NewV7()), WorkspaceID: "bench", Request: request}
			for _, c := range changes {
				c(asked)
			}
			if edge.record(store, asked) == nil {
				t.Fatal("the edge has refused the sale")
			}

			before := seeded(peer)
			peer.pgbench(script, "-D", "customers=1")
			same(t, "pgbench leaves", chosen(peer.rows()), chosen(edge.rows()))
			if left := seeded(peer) == before; left != (script != "changed.sql") {
				t.Errorf("the customer was left alone: %t", left)
			}
		})
	}
}

// seeded is the version of the seed's customer, and who has locked it.
func seeded(s *shop) string {
	s.t.Helper()
	return value[string](s, "SELECT ctid::text || xmin || '/' || xmax FROM hoko.customers WHERE external_id = 'customer_00000000'")
}

func TestSaleIDsAreUUIDv7OfTheTime(t *testing.T) {
	s := openShop(t)
	s.stock(t, strings.ReplaceAll(read(t, "../seed.sql"), ":customers", "1"))
	for _, script := range []string{"known.sql", "hot.sql", "keyed.sql", "changed.sql", "new.sql"} {
		s.pgbench(script, "-D", "customers=1")
	}
	n := value[int](s, `SELECT count(*) FROM hoko.sales WHERE id::text ~ '^.{14}7.{4}[89ab]'
		AND abs(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - extract(epoch FROM created_at) * 1000) <= 1`)
	if n != 5 {
		t.Errorf("%d of 5 ids are a UUIDv7 of their sale's time", n)
	}
}

func toCustomer(id string) change {
	return func(s *sale.Sale) { s.Request.CustomerExternalID = id }
}

var choices = regexp.MustCompile(`(John Doe |new_|order_)\d+|\\\\x[0-9a-f]{64}`)

// chosen is rows without what a script chooses at random, and without the
// fingerprint, which is the client's work.
func chosen(rows []string) []string {
	for i := range rows {
		rows[i] = choices.ReplaceAllString(rows[i], "$1…")
	}
	return rows
}
