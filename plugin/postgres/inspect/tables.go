package inspect

import "context"

// tablesSQL finds the relations of the schema hoko and, recursively, the relations that views read,
// each with its reader, whose privileges apply: the view's owner, or the session's role if the view
// has security_invoker. It does not look into materialized views, which are read like tables.
const tablesSQL = `
WITH RECURSIVE reads AS (
  SELECT c.relname::text AS relation, c.oid, c.relkind::text AS kind, session.oid AS reader
  FROM pg_class c, (SELECT oid FROM pg_roles WHERE rolname = current_user) session
  WHERE c.relnamespace = 'hoko'::regnamespace
    AND c.relname IN ('workspaces', 'api_keys', 'links', 'clicks', 'customers', 'leads', 'sales', 'idempotency_keys')
UNION
  SELECT r.relation, t.oid, t.relkind::text,
    CASE WHEN EXISTS (SELECT FROM pg_options_to_table(v.reloptions)
        WHERE option_name = 'security_invoker' AND option_value::bool)
      THEN session.oid ELSE v.relowner END
  FROM (SELECT oid FROM pg_roles WHERE rolname = current_user) session, reads r
  JOIN pg_class v ON v.oid = r.oid AND v.relkind = 'v'
  JOIN pg_rewrite w ON w.ev_class = v.oid AND w.rulename = '_RETURN'
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class t ON t.oid = d.refobjid AND t.oid <> v.oid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
)`

// qualifiedName is the quoted name of a relation in reads, with its schema.
const qualifiedName = `(SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = reads.oid)`

// Relation is a relation of the schema hoko or, if that is a view, a relation that the view reads.
type Relation struct {
	Of   string // the relation of the schema hoko, such as api_keys
	Name string // such as site.tokens
	Kind string // pg_class.relkind, such as r for a table
}

// Copies returns the materialized views and foreign tables that hoko.api_keys and hoko.workspaces
// read. Their rows change without a trigger that notifies the edges.
func (d *Database) Copies(ctx context.Context) ([]Relation, error) {
	return collect[Relation](ctx, d, "look for materialized views", tablesSQL+`
SELECT relation, `+qualifiedName+`, kind FROM reads
WHERE relation IN ('api_keys', 'workspaces') AND kind IN ('m', 'f') ORDER BY 1, 2`)
}

// HiddenRows describes a table whose row-level security may hide rows from the edge.
type HiddenRows struct {
	Of     string // the relation of the schema hoko, such as api_keys
	Table  string // such as site.tokens
	Reader string // the role whose privileges apply
	// Policies are the conditional policies that apply to the role, separated by commas. "" means
	// that no policy admits any row.
	Policies string
	// Filled reports that the table has rows, or had some.
	Filled bool
	// Updates reports that rows are hidden from UPDATE. Otherwise they are hidden from SELECT.
	Updates bool
}

// rowSecuritySQL uses row_security_active for what the session reads itself, and follows the same
// rules for the owners of views. A policy that admits all rows hides none, unless another one is
// restrictive.
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
SELECT reads.relation, ` + qualifiedName + `, (SELECT rolname FROM pg_roles WHERE oid = reader),
  CASE WHEN bool_or(p.polpermissive)
    THEN string_agg(p.polname, ', ' ORDER BY p.polname) FILTER (WHERE NOT p.admits_all) ELSE '' END,
  reads.filled, reads.command = 'w'
FROM active reads LEFT JOIN policies p USING (relation, oid, reader, command)
WHERE reads.active
GROUP BY reads.relation, reads.oid, reads.reader, reads.filled, reads.command
HAVING NOT coalesce(bool_or(p.polpermissive AND p.admits_all) AND bool_and(p.polpermissive OR p.admits_all), false)
ORDER BY 1, 2, 6`

// RowSecurity returns the tables whose row-level security may hide rows from the edge.
func (d *Database) RowSecurity(ctx context.Context) ([]HiddenRows, error) {
	return collect[HiddenRows](ctx, d, "look for row-level security", rowSecuritySQL)
}

// HasRows reports whether the session sees any row in a relation of the schema hoko.
func (d *Database) HasRows(ctx context.Context, relation string) (has bool, err error) {
	err = d.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM hoko."+relation+")").Scan(&has)
	return has, err
}
