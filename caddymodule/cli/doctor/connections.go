package doctor

import (
	"context"
	"fmt"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
)

// connections compares the connections that the edges may open with what the server, the role and
// the database have left. One more is for a command such as `keys revoke`.
func (c *checks) connections(ctx context.Context, db *inspect.Database) error {
	const about = "connections"
	o, err := postgres.Options{DSN: c.DSN, MaxConns: c.MaxConns, Writers: c.Writers}.WithDefaults()
	if err != nil {
		return nil // the check of the configuration has reported it
	}
	edges := max(c.Edges, 1)
	wanted := fmt.Sprintf("an edge opens up to %d connections", o.MaxConns)
	if edges > 1 {
		wanted = fmt.Sprintf("%d edges open up to %d connections", edges, edges*o.MaxConns)
	}
	pooled, err := db.Pooled(ctx)
	if err != nil {
		return err
	}
	if pooled {
		c.ok(about, "%s to a pooler, which decides how many reach Postgres: its max_client_conn must allow them, "+
			"and its pool should have %d for each edge", wanted, o.Writers+postgres.SlowLaneConns+o.KeyConns())
		return nil
	}
	limits, err := db.ConnectionLimits(ctx)
	if err != nil {
		return err
	}
	enough, left := true, 0
	for i, limit := range limits {
		free := max(limit.Max-limit.Reserved-limit.Others, 0)
		if i == 0 || free < left {
			left = free
		}
		needed := max(edges*o.MaxConns+1, limit.Edges)
		if free >= needed {
			continue
		}
		enough = false
		name, fix := "max_connections of the server", "raise max_connections"
		switch limit.Kind {
		case "role":
			name, fix = "the limit of role "+limit.Name, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", limit.Name,
				limit.Others+needed)
		case "database":
			name, fix = "the limit of database "+limit.Name, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d",
				limit.Name, limit.Others+needed)
		}
		c.warn(about, fmt.Sprintf("%s, and a command needs one, but %s leaves %d: %d, less %d that are reserved "+
			"and %d that others use", wanted, name, free, limit.Max, limit.Reserved, limit.Others),
			fix+", or lower max_conns in the postgres block, or put a PgBouncer before Postgres (docs/operations.md)")
	}
	if enough {
		c.ok(about, "%s, and Postgres allows %d", wanted, left)
	}
	return nil
}
