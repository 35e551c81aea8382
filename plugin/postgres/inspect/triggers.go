package inspect

import (
	"context"
	"fmt"
)

// Firing says when a trigger fires.
type Firing int

const (
	Absent   Firing = iota // there is none
	Disabled               // never, or only in sessions that replicate
	Ordinary               // not in sessions that replicate: session_replication_role is replica
	Always
)

// Notifier is what tells the edges of one kind of event in a table under the keys or workspaces.
type Notifier struct {
	Of     string // api_keys or workspaces
	Table  string
	Event  string // INSERT, UPDATE, DELETE or TRUNCATE
	Firing Firing // of the trigger that fires most often
	Name   string // its name
}

// notifiersSQL takes a trigger for one that notifies if its function names the channel. Rows of a
// partitioned table fire the triggers of its partitions; TRUNCATE fires those of the table that it
// names. No key can belong to a workspace that has just been inserted.
const notifiersSQL = tablesSQL + `, watched AS (
  SELECT max(relation) AS relation, oid, kind = 'p' AS partitioned, false AS part FROM reads
  WHERE relation IN ('api_keys', 'workspaces') AND kind IN ('r', 'p') GROUP BY oid, kind
UNION ALL
  SELECT max(relation), leaf.relid, false, true FROM reads, pg_partition_tree(reads.oid) leaf
  WHERE relation IN ('api_keys', 'workspaces') AND kind = 'p' AND leaf.isleaf AND leaf.relid <> reads.oid GROUP BY leaf.relid
)
SELECT relation, ` + named + `, event,
  coalesce(max(firing), 0), coalesce((array_agg(g.tgname::text ORDER BY firing DESC, g.tgname) FILTER (WHERE firing > 0))[1], '')
FROM watched reads CROSS JOIN (VALUES ('INSERT', 4), ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS events (event, bit)
LEFT JOIN LATERAL (
  SELECT g.tgname, CASE g.tgenabled WHEN 'A' THEN 3 WHEN 'O' THEN 2 ELSE 1 END AS firing
  FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
  WHERE g.tgrelid = reads.oid AND g.tgtype & bit <> 0 AND strpos(f.prosrc, 'hoko_keys') > 0
    AND (NOT g.tgisinternal OR g.tgparentid <> 0)) g ON true
WHERE NOT (relation = 'workspaces' AND event = 'INSERT') AND CASE WHEN event = 'TRUNCATE' THEN NOT part ELSE NOT partitioned END
GROUP BY relation, reads.oid, event ORDER BY 1, 2, 3`

// Notifiers returns what notifies of each event in the tables under hoko.api_keys and
// hoko.workspaces.
func (d *Database) Notifiers(ctx context.Context) ([]Notifier, error) {
	return rows[Notifier](ctx, d, "read the triggers", notifiersSQL)
}

// ReplicaRoles returns whose sessions fire no ordinary trigger, as session_replication_role is
// replica for them: roles, or "every role".
func (d *Database) ReplicaRoles(ctx context.Context) (who []string, err error) {
	const question = `
SELECT coalesce(array_agg(DISTINCT who), '{}') FROM (
  SELECT coalesce(r.rolname::text, 'every role') AS who FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
  WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND 'session_replication_role=replica' = ANY (s.setconfig)
UNION ALL
  SELECT current_user WHERE current_setting('session_replication_role') = 'replica') replicating`
	if err := d.conn.QueryRow(ctx, question).Scan(&who); err != nil {
		return nil, fmt.Errorf("read session_replication_role: %w", err)
	}
	return who, nil
}
