package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"hoko.to/edge/plugin/postgres/admin"
	"hoko.to/edge/plugin/postgres/inspect"
)

// probe changes the key that the operator names and restores it. It reports whether every change
// was heard of.
func (c *checks) probe(ctx context.Context) (heard bool) {
	const about = "probe"
	if c.ProbeKey == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	probe, err := admin.ProbeKey(ctx, c.DSN, cmp.Or(c.ListenDSN, c.DSN), c.ProbeKey)
	tried := len(probe.Notified) + len(probe.Missed)
	switch {
	case err != nil:
		c.fail(about, err, "name a key as caddy hoko keys list does, and give the connection string of the schema's owner; for a notification that does not arrive, see the listener")
	case len(probe.Missed) > 0:
		c.fail(about, fmt.Errorf("key %s: changes of %s were not notified: %s", probe.KeyID,
			strings.Join(probe.Missed, ", "), passes), triggerFix)
	case tried == 0:
		c.warn(about, fmt.Sprintf("key %s cannot be changed through hoko.api_keys", probe.KeyID),
			"change a key of your own by your own means, while psql runs LISTEN hoko_keys")
	default:
		c.ok(about, "key %s: changes of %s were heard of, and undone", probe.KeyID, strings.Join(probe.Notified, ", "))
	}
	return err == nil && tried > 0 && len(probe.Missed) == 0
}

// triggers looks for what tells the edges of changed keys. heard is whether a probe was: then what
// the functions of triggers look like is no failure.
func (c *checks) triggers(ctx context.Context, db *inspect.Database, heard bool) error {
	const about = "triggers"
	notifiers, err := db.Notifiers(ctx)
	if err != nil {
		return err
	}
	replicating, err := db.ReplicaRoles(ctx)
	if err != nil {
		return err
	}
	copies, err := db.Copies(ctx)
	if err != nil {
		return err
	}
	before := len(c.Findings)
	for _, copied := range copies {
		c.warn(about, fmt.Sprintf("hoko.%s reads %s, a materialized view or foreign table, whose rows change without a trigger", copied.Of, copied.Name),
			"read the tables themselves")
	}
	c.judge(newWiring(notifiers), heard, replicating)
	if len(c.Findings) == before {
		c.ok(about, "they notify of changed keys and workspaces")
	}
	return nil
}

// wiring is what the tables under one relation notify of.
type wiring struct {
	of     string
	tables []table
}

type table struct {
	name   string
	events []inspect.Notifier
}

// wired reports whether any trigger of the table notifies, be it disabled. A partitioned table,
// whose only event is TRUNCATE, leaves the rest to its partitions.
func (t table) wired() bool {
	return len(t.events) == 1 || slices.ContainsFunc(t.events,
		func(n inspect.Notifier) bool { return n.Firing > inspect.Absent })
}

// newWiring groups notifiers, which are sorted, by relation and table.
func newWiring(notifiers []inspect.Notifier) (all []wiring) {
	for _, n := range notifiers {
		if len(all) == 0 || all[len(all)-1].of != n.Of {
			all = append(all, wiring{of: n.Of})
		}
		w := &all[len(all)-1]
		if len(w.tables) == 0 || w.tables[len(w.tables)-1].name != n.Table {
			w.tables = append(w.tables, table{name: n.Table})
		}
		t := &w.tables[len(w.tables)-1]
		t.events = append(t.events, n)
	}
	return all
}

func (c *checks) judge(all []wiring, heard bool, replicating []string) {
	for _, w := range all {
		wired := slices.ContainsFunc(w.tables, table.wired)
		for _, t := range w.tables {
			if wired && !t.wired() {
				c.warn("triggers", fmt.Sprintf("hoko.%s also reads %s, none of whose triggers notifies hoko_keys: what changes there reaches edges when the ttl is over", w.of, t.name), triggerFix)
				continue
			}
			c.judgeTable(t, heard && w.of == "api_keys", replicating)
		}
	}
}

const (
	triggerFix = "create the triggers of docs/adopting.md, step 5, or those of plugin/postgres/migrations on the edge's own tables; " +
		"if something else notifies, prove it with --probe-key"
	passes = "a revoked key passes until its ttl is over"
)

// judgeTable reports what of a table's events goes unnoticed, those of one kind together.
func (c *checks) judgeTable(t table, heard bool, replicating []string) {
	var missing, disabled, late, ordinary []string
	enable := map[string]bool{}
	for _, n := range t.events {
		switch {
		case n.Firing == inspect.Always:
		case n.Firing == inspect.Ordinary:
			ordinary = append(ordinary, n.Name)
		case n.Event == "INSERT" || n.Event == "TRUNCATE":
			late = append(late, n.Event)
		case n.Firing == inspect.Disabled:
			disabled = append(disabled, n.Event)
		default:
			missing = append(missing, n.Event)
		}
		if n.Name != "" && n.Firing != inspect.Always {
			enable["ENABLE ALWAYS TRIGGER "+n.Name] = true
		}
	}
	enableFix := "ALTER TABLE " + t.name + " " + strings.Join(sortedKeys(enable), ", ")
	switch {
	case len(missing) > 0 && heard:
		c.warn("triggers", fmt.Sprintf("no trigger on %s whose function names hoko_keys fires for %s, though the probed key was heard of", t.name, strings.Join(missing, ", ")), triggerFix)
	case len(missing) > 0:
		c.fail("triggers", fmt.Errorf("no trigger on %s notifies hoko_keys of %s: %s", t.name,
			strings.Join(missing, ", "), passes), triggerFix)
	}
	if len(disabled) > 0 {
		c.fail("triggers", fmt.Errorf("the triggers on %s that notify of %s are disabled: %s", t.name,
			strings.Join(disabled, ", "), passes), enableFix)
	}
	if len(late) > 0 {
		fix := triggerFix
		if len(enable) > 0 {
			fix = enableFix + "; else " + triggerFix
		}
		c.warn("triggers", fmt.Sprintf("no enabled trigger on %s notifies hoko_keys of %s: %s", t.name,
			strings.Join(late, ", "),
			"a key that was tried before it was created is 401 for 5 s, and emptying the table revokes nothing until the ttl is over"), fix)
	}
	if len(ordinary) == 0 {
		return
	}
	text := fmt.Sprintf("triggers on %s (%s) do not fire in sessions that replicate", t.name,
		strings.Join(slices.Compact(slices.Sorted(slices.Values(ordinary))), ", "))
	if len(replicating) > 0 {
		c.fail("triggers", fmt.Errorf("%s, and session_replication_role is replica for %s: %s", text,
			strings.Join(replicating, ", "), passes), enableFix)
		return
	}
	c.warn("triggers", text+", such as those of a subscription: there, "+passes, enableFix)
}

func sortedKeys(set map[string]bool) []string {
	var keys []string
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
