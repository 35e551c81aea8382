package inspect

import (
	"context"
	"fmt"
)

// Rights are the rights of the session's role that no sale and no lookup of a key needs.
type Rights struct {
	KeyUsage  bool // write hoko.key_usage
	RevokeKey bool // run hoko.revoke_key
}

// Rights queries the rights. What does not exist, the role has no right to.
func (d *Database) Rights(ctx context.Context) (r Rights, err error) {
	const query = `
SELECT coalesce(bool_and(has_table_privilege(to_regclass('hoko.key_usage'), needed)), false),
  coalesce(bool_and(has_function_privilege(to_regprocedure('hoko.revoke_key(text, text)'), 'EXECUTE')), false)
FROM unnest('{SELECT,INSERT,UPDATE}'::text[]) needed`
	if err := d.conn.QueryRow(ctx, query).Scan(&r.KeyUsage, &r.RevokeKey); err != nil {
		return r, fmt.Errorf("read the role's rights: %w", err)
	}
	return r, nil
}

// Sample counts rows of a sample.
type Sample struct{ Rows, Old int }

// IdempotencyKeys samples the first rows of hoko.idempotency_keys. There is no index on their age,
// but if nothing has been deleted, the first rows are the oldest. Old ones are older than 8 days.
func (d *Database) IdempotencyKeys(ctx context.Context) (s Sample, err error) {
	const query = `
SELECT count(*), count(*) FILTER (WHERE created_at < now() - interval '8 days')
FROM (SELECT created_at FROM hoko.idempotency_keys LIMIT 1000) first`
	if err := d.conn.QueryRow(ctx, query).Scan(&s.Rows, &s.Old); err != nil {
		return s, fmt.Errorf("sample the idempotency keys: %w", err)
	}
	return s, nil
}
