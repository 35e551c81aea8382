package ledger

import (
	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// tables holds the database's contents at the end of a run.
type tables struct {
	sales     []saleRow
	customers []customerRow
	keys      []keyRow
}

// saleRow is a row of hoko.sales. Null is read as "".
type saleRow struct {
	id, workspace, customer               string // external ID of the customer
	customerID, clickID, linkID, leadID   string
	attribution, currency, event, journal string
	amount                                int64
	attempt                               int // from the metadata, like journal
}

type customerRow struct{ id, workspace, external, name, email, avatar string }

type keyRow struct{ workspace, key, saleID string }

func readTables(d harness.DB) (tables tables) {
	d.T.Helper()
	read(d, &tables.sales, `SELECT s.id::text, s.workspace_id, coalesce(c.external_id, ''), s.customer_id,
		coalesce(s.click_id, ''), s.link_id, coalesce(s.lead_id, ''),
			s.attribution, s.currency, s.event_name, coalesce(s.metadata->>'journal', ''), s.amount,
			coalesce((s.metadata->>'attempt')::int, 0)
		FROM hoko.sales s LEFT JOIN hoko.customers c ON c.id = s.customer_id AND c.workspace_id = s.workspace_id`,
		func(r *saleRow) []any {
			return []any{&r.id, &r.workspace, &r.customer, &r.customerID, &r.clickID, &r.linkID, &r.leadID,
				&r.attribution, &r.currency, &r.event, &r.journal, &r.amount, &r.attempt}
		})
	read(d, &tables.customers, `SELECT id, workspace_id, external_id, coalesce(name, ''), coalesce(email, ''),
		coalesce(avatar, '') FROM hoko.customers`,
		func(r *customerRow) []any {
			return []any{&r.id, &r.workspace, &r.external, &r.name, &r.email, &r.avatar}
		})
	read(d, &tables.keys, `SELECT workspace_id, key, sale_id::text FROM hoko.idempotency_keys`,
		func(r *keyRow) []any { return []any{&r.workspace, &r.key, &r.saleID} })
	return tables
}

func read[Row any](d harness.DB, rows *[]Row, sql string, columns func(*Row) []any) {
	d.T.Helper()
	found, err := d.Conn.Query(d.T.Context(), sql)
	testenv.NoError(d.T, err)
	defer found.Close()
	for found.Next() {
		var row Row
		testenv.NoError(d.T, found.Scan(columns(&row)...))
		*rows = append(*rows, row)
	}
	testenv.NoError(d.T, found.Err())
}
