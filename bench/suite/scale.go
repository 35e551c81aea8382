package suite

import (
	"context"
	"fmt"

	"hoko.to/edge/bench/stage"
)

// seedSales inserts one sale per lead, with ascending IDs as the edge's are.
const seedSales = `INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution,
	amount, currency, event_name)
SELECT (lpad(to_hex(1700000000000 + row_number() OVER ()), 12, '0') || '70008' || left(md5(l.id), 15))::uuid,
       'bench', l.customer_id, l.click_id, l.link_id, l.id, 'latest-lead', 12900, 'usd', 'Invoice paid'
FROM hoko.leads l`

// prewarm loads the tables and indexes that a sale reads into shared_buffers.
const prewarm = `SELECT pg_prewarm(oid::regclass) FROM pg_class
WHERE relnamespace = 'hoko'::regnamespace AND relkind IN ('r', 'i') AND relname ~ '^(clicks|leads|customers)'`

// scales measures the same sales with tables of different sizes.
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
	if err := b.alternateWith(ctx, b.Mode.rounds, checkpoint, all...); err != nil {
		return err
	}
	b.Report.Scale = append(b.Report.Scale, newTable("", "The sales of the suite sale. Each of the tables for "+
		"customers, clicks, leads and sales has the given number of rows. The cache is warm.", all))
	return nil
}

// scaleSide returns an edge with a database of the given size.
func (b *Bench) scaleSide(ctx context.Context, rows int) (*side, error) {
	b.progress("inserting %d rows into each table", rows)
	d, err := b.Stage.CreateDatabase(ctx, fmt.Sprintf("scale%d", rows), rows)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{seedSales, "VACUUM ANALYZE", "CREATE EXTENSION pg_prewarm", prewarm} {
		if err := d.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	env := b.Stage.Env(nil)
	env.DatabaseURL = d.DSN
	e, err := b.Stage.StartEdge(ctx, stage.Shipped(), env)
	if err != nil {
		return nil, err
	}
	s := b.saleSide(fmt.Sprintf("%d rows", rows), e, b.Mode.maxConnections())
	s.spec().Request.Pick = rows
	return s, nil
}
