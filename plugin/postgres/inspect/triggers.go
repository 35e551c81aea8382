package inspect

import (
	"context"
	"fmt"
)

// Firing is when a trigger fires. Replica sessions have session_replication_role = replica.
type Firing int

// The values of Firing, in ascending order. notifiersSQL returns their numbers.
const (
	Absent   Firing = iota // there is no trigger
	Disabled               // never, or only in replica sessions
	Ordinary               // except in replica sessions
	Always                 // in all sessions
)

// Notifier describes the trigger that notifies the edges of one kind of event in a table.
type Notifier struct {
	Of     string // the relation of the schema hoko that reads Table: api_keys or workspaces
	Table  string // such as site.tokens
	Event  string // INSERT, UPDATE, DELETE or TRUNCATE
	Firing Firing // if there are several triggers, of the one that fires most often
	Name   string // the trigger's name; "" if it is Absent
}

// notifiersSQL considers a trigger a notifier if its function contains the channel's name. Changed
// rows of a partitioned table fire the triggers of its partitions; TRUNCATE fires those of the
// named table. An inserted workspace needs no notification, because it has no keys yet.
const notifiersSQL = tablesSQL + `, watched AS (
  SELECT max(relation) AS relation, oid, kind = 'p' AS partitioned, false AS part FROM reads
  WHERE relation IN ('api_keys', 'workspaces') AND kind IN ('r', 'p') GROUP BY oid, kind
UNION ALL
  SELECT max(relation), leaf.relid, false, true FROM reads, pg_partition_tree(reads.oid) leaf
  WHERE relation IN ('api_keys', 'workspaces') AND kind = 'p' AND leaf.isleaf AND leaf.relid <> reads.oid
  GROUP BY leaf.relid
)
SELECT relation, ` + qualifiedName + `, event, coalesce(max(firing), 0),
  coalesce((array_agg(g.tgname::text ORDER BY firing DESC, g.tgname) FILTER (WHERE firing > 0))[1], '')
FROM watched reads
CROSS JOIN (VALUES ('INSERT', 4), ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS events (event, bit)
LEFT JOIN LATERAL (
  SELECT g.tgname, CASE g.tgenabled WHEN 'A' THEN 3 WHEN 'O' THEN 2 ELSE 1 END AS firing
  FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
  WHERE g.tgrelid = reads.oid AND g.tgtype & bit <> 0 AND strpos(f.prosrc, 'hoko_keys') > 0
    AND (NOT g.tgisinternal OR g.tgparentid <> 0)) g ON true
WHERE NOT (relation = 'workspaces' AND event = 'INSERT')
  AND CASE WHEN event = 'TRUNCATE' THEN NOT part ELSE NOT partitioned END
GROUP BY relation, reads.oid, event ORDER BY 1, 2, 3`

// Notifiers returns one Notifier for each table that hoko.api_keys and hoko.workspaces read and
// each event, even if it is [Absent].
func (d *Database) Notifiers(ctx context.Context) ([]Notifier, error) {
	return collect[Notifier](ctx, d, "read the triggers", notifiersSQL)
}

// ReplicaRoles returns the roles for which session_replication_role is replica, so that their
// sessions fire no [Ordinary] triggers. "every role" stands for all.
func (d *Database) ReplicaRoles(ctx context.Context) (roles []string, err error) {
	const query = `
SELECT coalesce(array_agg(DISTINCT role), '{}') FROM (
  SELECT coalesce(r.rolname::text, 'every role') AS role
  FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
  WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND 'session_replication_role=replica' = ANY (s.setconfig)
UNION ALL
  SELECT current_user WHERE current_setting('session_replication_role') = 'replica') replicating`
	if err := d.conn.QueryRow(ctx, query).Scan(&roles); err != nil {
		return nil, fmt.Errorf("read session_replication_role: %w", err)
	}
	return roles, nil
}
