package postgres_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The plan of an empty database must serve a large one too: it is made once a
// connection. The settings are those that TestSettingsOfASession finds.
func TestStatementScansNoTableWithoutAnIndexCondition(t *testing.T) {
	statement, err := os.ReadFile("query/sale.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, lane := range []string{"FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"} {
		t.Run(lane, func(t *testing.T) {
			shop := openShop(t)
			shop.exec("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off")
			shop.exec("PREPARE sale AS " + strings.Replace(string(statement), "FOR NO KEY UPDATE SKIP LOCKED", lane, 1))
			nothing := strings.Repeat("'{}',", 16) + "true"
			var plans []struct{ Plan planNode }
			if err := json.Unmarshal([]byte(value[string](shop.database, "EXPLAIN (FORMAT JSON) EXECUTE sale ("+nothing+")")), &plans); err != nil {
				t.Fatal(err)
			}
			read := map[string]int{}
			plans[0].Plan.walk(func(n planNode) {
				if n.Relation == "" || n.Kind == "ModifyTable" {
					return
				}
				read[n.Relation]++
				read[n.Index]++
				if n.IndexCondition == "" {
					t.Errorf("%s of %s without an index condition", n.Kind, n.Relation)
				}
			})
			for name, times := range map[string]int{"idempotency_keys": 1, "sales": 1, "customers": 3, "leads_named": 1, "leads_latest": 1, "clicks": 2, "links": 1} {
				if read[name] != times {
					t.Errorf("%s is read %d times, want %d", name, read[name], times)
				}
			}
		})
	}
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
