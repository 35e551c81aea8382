package inspect

import (
	"context"
	"fmt"
)

// ConnectionLimit is a limit that applies to the session's role.
type ConnectionLimit struct {
	Kind     string // server, role or database
	Name     string // of the role or database, quoted
	Max      int
	Reserved int // of Max, for other roles
	Others   int // connections in use that are not an edge's
	// Edges counts connections in use with this session's role, database and application_name.
	Edges int
}

// ConnectionLimits returns the limits of the server, of the role that logged in, and of the
// database, if they are set. Superusers have no limit but the server's.
func (d *Database) ConnectionLimits(ctx context.Context) ([]ConnectionLimit, error) {
	// Without the rights of pg_read_all_stats, backend_type is null for other roles.
	const query = `
WITH session AS (
  SELECT oid, rolname, rolsuper, rolconnlimit FROM pg_roles WHERE rolname = session_user
), clients AS (
  SELECT usesysid = session.oid AS of_role, datid = database.oid AS of_database,
    usesysid = session.oid AND datid = database.oid
      AND application_name = current_setting('application_name') AS of_edge
  FROM pg_stat_activity, session, (SELECT oid FROM pg_database WHERE datname = current_database()) database
  WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
), counts AS (
  SELECT count(*) FILTER (WHERE NOT of_edge) AS on_server, count(*) FILTER (WHERE of_role AND NOT of_edge) AS of_role,
    count(*) FILTER (WHERE of_database AND NOT of_edge) AS of_database, count(*) FILTER (WHERE of_edge) AS of_edges
  FROM clients
)
SELECT 'server', '', current_setting('max_connections')::int, CASE WHEN rolsuper THEN 0
    ELSE current_setting('superuser_reserved_connections')::int
      + coalesce(current_setting('reserved_connections', true)::int, 0) END, on_server, of_edges
FROM session, counts
UNION ALL
SELECT 'role', quote_ident(rolname), rolconnlimit, 0, of_role, of_edges
FROM session, counts WHERE rolconnlimit >= 0 AND NOT rolsuper
UNION ALL
SELECT 'database', quote_ident(datname), datconnlimit, 0, of_database, of_edges
FROM pg_database, session, counts WHERE datname = current_database() AND datconnlimit >= 0 AND NOT rolsuper`
	return collect[ConnectionLimit](ctx, d, "read the limits of connections", query)
}

// Pooled reports whether a pooler such as PgBouncer is between this session and the server. Poolers
// give their clients made-up process IDs.
func (d *Database) Pooled(ctx context.Context) (pooled bool, err error) {
	var pid uint32
	if err := d.conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return false, fmt.Errorf("read the session's process ID: %w", err)
	}
	return pid != d.conn.PgConn().PID(), nil
}
