package suite

import (
	"context"
	"fmt"

	"hoko.to/edge/bench/stage"
)

// seedSales makes a past: a sale a customer, with ids that grow as the edge's do.
const seedSales = `INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency,
	event_name)
SELECT (lpad(to_hex(1700000000000 + row_number() OVER ()), 12, '0') || '70008' || left(md5(l.id), 15))::uuid,
       'bench', l.customer_id, l.click_id, l.link_id, l.id, 'latest-lead', 12900, 'usd', 'Invoice paid' FROM hoko.leads l`

// warm reads what a sale looks up, tables and indexes, into Postgres's memory.
const warm = `SELECT pg_prewarm(oid::regclass) FROM pg_class
WHERE relnamespace = 'hoko'::regnamespace AND relkind IN ('r', 'i') AND relname ~ '^(clicks|leads|customers)'`

// scales measures the same sales against larger tables.
func scales(ctx context.Context, b *Bench) error {
	var all []*side
	for _, rows := range b.Mode.scale {
		s, err := b.scaleSide(ctx, rows)
		if err != nil {
			return fmt.Errorf("%d rows: %w", rows, err)
		}
		all = append(all, s)
	}
	checkpoint := func(ctx context.Context) error { return b.Stage.Database.Exec(ctx, "CHECKPOINT") }
	if err := b.inTurn(ctx, b.Mode.rounds, checkpoint, all...); err != nil {
		return err
	}
	b.Report.Scale = append(b.Report.Scale, tableOf("",
		"The same sales with so many customers, leads and sales in the tables, cache warm.", all))
	return nil
}

// scaleSide is an edge on a database of its own.
func (b *Bench) scaleSide(ctx context.Context, rows int) (*side, error) {
	b.progress("making %d rows of each table", rows)
	d, err := b.Stage.CreateDatabase(ctx, fmt.Sprintf("scale%d", rows), rows)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{seedSales, "VACUUM ANALYZE", "CREATE EXTENSION pg_prewarm", warm} {
		if err := d.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	backing := b.Stage.Backing(nil)
	backing.DatabaseURL = d.DSN
	e, err := b.Stage.StartEdge(ctx, stage.Shipped(), backing)
	if err != nil {
		return nil, err
	}
	s := b.saleSide(fmt.Sprintf("%d rows", rows), e, b.Mode.most())
	s.spec().Request.Pick = rows
	return s, nil
}
