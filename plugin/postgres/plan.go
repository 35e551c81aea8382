package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Scan is a step of a query plan that reads more of a relation than an index probe would.
type Scan struct {
	Schema, Relation string
	How              string // such as "Seq Scan"
	// Small reports that the relation is so small that the planner may ignore a usable index. It is
	// false for a Seq Scan, which is chosen only if there is no index.
	Small bool
}

// smallPages is the size in pages that the planner assumes for a table without statistics.
const smallPages = 10

// FullScans returns the scans that are not index probes, each once, in the generic plans that a
// session with the given settings uses for the statements.
func FullScans(
	ctx context.Context, dsn string, settings map[string]string, statements ...string,
) (scans []Scan, err error) {
	connector, err := NewConnector(dsn, settings)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer CloseConn(conn) // and roll back
	for _, statement := range statements {
		plan, err := explain(ctx, conn, settings, statement)
		if err != nil {
			return nil, fmt.Errorf("explain a statement: %w", SchemaError(err))
		}
		plan.fullScans(false, func(s Scan) {
			if !slices.Contains(scans, s) {
				scans = append(scans, s)
			}
		})
	}
	for i, scan := range scans {
		const small = `SELECT coalesce(max(pg_relation_size(c.oid)), 0) <= $3 * current_setting('block_size')::bigint
			AND $4::text NOT LIKE 'Seq Scan%'
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`
		err := conn.QueryRow(ctx, small, scan.Schema, scan.Relation, smallPages, scan.How).Scan(&scans[i].Small)
		if err != nil {
			return nil, fmt.Errorf("read the size of %s.%s: %w", scan.Schema, scan.Relation, err)
		}
	}
	return scans, nil
}

// explain returns the generic plan of a statement. It runs in one transaction, because a pooler may
// use another session for the next one. It deallocates its prepared statement, which would outlive
// the transaction and be visible to the session's next user.
func explain(
	ctx context.Context, conn *pgx.Conn, settings map[string]string, statement string,
) (plan planNode, err error) {
	run := []string{"BEGIN"}
	for name, value := range settings {
		run = append(run, fmt.Sprintf("SET LOCAL %s = '%s'", name, value))
	}
	run = append(run, "PREPARE hoko_explained AS "+statement)
	defer conn.Exec(ctx, "ROLLBACK; DEALLOCATE hoko_explained") // DEALLOCATE fails if PREPARE has
	if _, err := conn.Exec(ctx, strings.Join(run, "; ")); err != nil {
		return plan, err
	}
	const count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'hoko_explained'"
	var parameters int
	if err := conn.QueryRow(ctx, count, pgx.QueryExecModeSimpleProtocol).Scan(&parameters); err != nil {
		return plan, err
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", parameters), ", ")
	var text string
	err = conn.QueryRow(ctx, "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE hoko_explained ("+nulls+")",
		pgx.QueryExecModeSimpleProtocol).Scan(&text)
	if err != nil {
		return plan, err
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		return plan, err
	}
	return plans[0].Plan, nil
}

type planNode struct {
	Kind           string `json:"Node Type"`
	Schema         string
	Relation       string `json:"Relation Name"`
	IndexCondition string `json:"Index Cond"`
	Parent         string `json:"Parent Relationship"`
	Plans          []planNode
}

// fullScans reports the scans of the plan n that have no index condition, or that feed a sort.
func (n planNode) fullScans(sorted bool, report func(Scan)) {
	sorted = strings.HasSuffix(n.Kind, "Sort") || sorted && n.Parent != "InitPlan"
	switch {
	case n.Relation == "" || n.Kind == "ModifyTable":
	case n.IndexCondition == "":
		report(Scan{Schema: n.Schema, Relation: n.Relation, How: n.Kind})
	case sorted:
		report(Scan{Schema: n.Schema, Relation: n.Relation, How: n.Kind + " and Sort"})
	}
	for _, child := range n.Plans {
		child.fullScans(sorted, report)
	}
}
