package inspect

import "context"

// tablesSQL finds the relations of the schema hoko, and whatever their views read, in any depth.
// Each is read as a role: a view's owner, or the session's if it is a security_invoker view. A
// materialized view ends the search, as it is read in place of its tables.
const tablesSQL = `
WITH RECURSIVE reads AS (
  SELECT c.relname::text AS relation, c.oid, c.relkind::text AS kind, session.oid AS reader
  FROM pg_class c, (SELECT oid FROM pg_roles WHERE rolname = current_user) session
  WHERE c.relnamespace = 'hoko'::regnamespace
    AND c.relname IN ('workspaces', 'api_keys', 'links', 'clicks', 'customers', 'leads', 'sales', 'idempotency_keys')
UNION
  SELECT r.relation, t.oid, t.relkind::text,
    CASE WHEN EXISTS (SELECT FROM pg_options_to_table(v.reloptions) WHERE option_name = 'security_invoker' AND option_value::bool)
      THEN session.oid ELSE v.relowner END
  FROM (SELECT oid FROM pg_roles WHERE rolname = current_user) session, reads r
  JOIN pg_class v ON v.oid = r.oid AND v.relkind = 'v'
  JOIN pg_rewrite w ON w.ev_class = v.oid AND w.rulename = '_RETURN'
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class t ON t.oid = d.refobjid AND t.oid <> v.oid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
)`

// named is the qualified name of a relation, as SQL reads it.
const named = `(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = reads.oid)`

// Relation is one that a relation of the schema hoko, which the edge names, reads: itself or, if
// that is a view, what the view reads.
type Relation struct {
	Of   string // such as api_keys
	Name string // such as site.tokens
	Kind string // of pg_class.relkind, such as r for a table
}

// Copies returns the materialized views and foreign tables under the keys and workspaces, from
// which no trigger tells of a change.
func (d *Database) Copies(ctx context.Context) ([]Relation, error) {
	return rows[Relation](ctx, d, "look for materialized views", tablesSQL+`
SELECT relation, `+named+`, kind FROM reads WHERE relation IN ('api_keys', 'workspaces') AND kind IN ('m', 'f') ORDER BY 1, 2`)
}

// HiddenRows is a table whose row-level security keeps rows from a role that reads it for the edge.
type HiddenRows struct {
	Of, Table, Reader string
	// Policies are the conditional ones that apply to the role, comma-separated. "" means that none
	// admits any row.
	Policies string
	// Filled: the table has rows, or had some.
	Filled bool
	// Updates: it is rows to change that are kept from it.
	Updates bool
}

// rowSecuritySQL asks row_security_active for what the session reads itself, and answers the same
// question for the owner of a view. A policy that admits every row hides none, if no restrictive
// one takes rows away.
const rowSecuritySQL = tablesSQL + `, active AS (
  SELECT reads.*, c.relname, pg_relation_size(c.oid) > 0 AS filled, needed.command,
    CASE WHEN reader = (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN row_security_active(c.oid)
      ELSE c.relrowsecurity AND NOT role.rolsuper AND NOT role.rolbypassrls
        AND (c.relforcerowsecurity OR NOT pg_has_role(reader, c.relowner, 'USAGE')) END AS active
  FROM reads JOIN pg_class c ON c.oid = reads.oid JOIN pg_roles role ON role.oid = reader
  CROSS JOIN (VALUES ('r'), ('w')) AS needed (command)
  WHERE c.relkind IN ('r', 'p') AND (needed.command = 'r' OR relation = 'customers')
), policies AS (
  SELECT active.relation, active.oid, active.reader, active.command, p.polname, p.polpermissive,
    coalesce(pg_get_expr(p.polqual, p.polrelid) = 'true', false) AS admits_all
  FROM active JOIN pg_policy p ON p.polrelid = active.oid AND p.polcmd::text IN ('*', active.command)
  WHERE active AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(reader, r, 'USAGE'))
)
SELECT reads.relation, ` + named + `, (SELECT rolname FROM pg_roles WHERE oid = reader),
  CASE WHEN bool_or(p.polpermissive) THEN string_agg(p.polname, ', ' ORDER BY p.polname) FILTER (WHERE NOT p.admits_all) ELSE '' END,
  reads.filled, reads.command = 'w'
FROM active reads LEFT JOIN policies p USING (relation, oid, reader, command)
WHERE reads.active
GROUP BY reads.relation, reads.oid, reads.reader, reads.filled, reads.command
HAVING NOT coalesce(bool_or(p.polpermissive AND p.admits_all) AND bool_and(p.polpermissive OR p.admits_all), false)
ORDER BY 1, 2, 6`

// RowSecurity returns the tables of which row-level security hides rows.
func (d *Database) RowSecurity(ctx context.Context) ([]HiddenRows, error) {
	return rows[HiddenRows](ctx, d, "ask for row-level security", rowSecuritySQL)
}

// HasRows reports whether a relation of the schema hoko shows the session any row.
func (d *Database) HasRows(ctx context.Context, relation string) (shows bool, err error) {
	err = d.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM hoko."+relation+")").Scan(&shows)
	return shows, err
}
