package pgtest

import (
	"fmt"

	"hoko.to/edge/internal/testenv"
)

// Fill inserts the rows from … to into each table. A quarter of the leads belong to customer 1.
func Fill(d testenv.DB, from, to int) {
	d.T.Helper()
	if to < from {
		return
	}
	bulk := to-from > 10_000
	d.Exec("SET session_replication_role = replica") // skips foreign keys
	if bulk {
		d.Exec(dropIndexes)
	}
	for _, insert := range []string{
		`workspaces (id) SELECT 'w' || i`,
		`api_keys (id, workspace_id, key_hash) SELECT 'a' || i, 'w' || i, sha256(i::text::bytea)`,
		`links (id, workspace_id, url, short_url)
			SELECT 'l' || i, 'w1', 'https://example.com', 'https://hoko.to/' || i`,
		`clicks (id, workspace_id, link_id) SELECT 'c' || i, 'w1', 'l' || i`,
		`customers (id, workspace_id, external_id, name) SELECT 'k' || i, 'w1', 'e' || i, 'n' || i`,
		`leads (id, workspace_id, customer_id, click_id, link_id, event_name, created_at)
			SELECT 'd' || i, 'w1', CASE WHEN i % 4 = 0 THEN 'k1' ELSE 'k' || i END, 'c' || i, 'l' || i,
				CASE i WHEN 4 THEN 'Rare' ELSE 'Signup' END, now() + i * interval '1 s'`,
		`sales (id, workspace_id, customer_id, click_id, link_id, attribution, amount, currency, event_name)
			SELECT lpad(i::text, 32, '0')::uuid, 'w1', 'k' || i, 'c' || i, 'l' || i, 'click', 1, 'usd', 'Purchase'`,
		`idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
			SELECT 'w1', 'key' || i, '', lpad(i::text, 32, '0')::uuid, '{}'`,
	} {
		d.Exec(fmt.Sprintf("INSERT INTO hoko.%s FROM generate_series(%d, %d) i", insert, from, to))
	}
	if bulk {
		d.Exec(createIndexes)
	}
}

// dropIndexes and createIndexes drop and recreate all indexes: faster than updating them per row.
const (
	dropIndexes = `
CREATE TEMP TABLE dropped AS
	SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname) AS down,
		format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS up
	FROM pg_constraint WHERE connamespace = 'hoko'::regnamespace AND contype IN ('p', 'u')
	UNION ALL
	SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid)
	FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'hoko'::regnamespace AND NOT indisunique;
DO $$ DECLARE sql text; BEGIN FOR sql IN SELECT down FROM dropped LOOP EXECUTE sql; END LOOP; END $$;
ALTER TABLE hoko.workspaces DISABLE TRIGGER USER;
ALTER TABLE hoko.api_keys DISABLE TRIGGER USER;
`
	createIndexes = `DO $$ DECLARE sql text; BEGIN FOR sql IN SELECT up FROM dropped LOOP EXECUTE sql; END LOOP; END $$`
)
