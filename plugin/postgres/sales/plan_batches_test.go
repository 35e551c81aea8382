package sales_test

import (
	"cmp"
	"fmt"
	"strings"

	"hoko.to/edge/internal/testenv"
)

const fullBatch = 128

// batch is of sales of one kind.
type batch struct{ name, customer, called, lead, click, key, id string }

// batches are of the sales 1 to fullBatch, in SQL over their number i; see fill for what there is. The first customer has
// a quarter of all leads.
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

// execution is a statement that executes the sale statement, prepared as hot, with this batch.
func (b batch) execution(d testenv.DB) string {
	d.T.Helper()
	columns := append(b.columns(), cmp.Or(b.key, "NULL"), "''")
	return b.execute(d, columns, "array_agg", ", true", fullBatch)
}

// executionAlone executes the statement of a sale alone with the first of them; "" where that is not for it.
func (b batch) executionAlone(d testenv.DB) string {
	d.T.Helper()
	if b.key != "" || b.id != "" {
		return ""
	}
	return b.execute(d, b.columns(), "max", "", 1)
}

// columns are what both have of a sale.
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
