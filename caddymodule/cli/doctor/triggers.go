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

// probe changes and restores ProbeKey. It reports whether every change was announced.
func (c *checks) probe(ctx context.Context) (notified bool) {
	const about = "probe"
	if c.ProbeKey == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	probe, err := admin.ProbeKey(ctx, c.DSN, cmp.Or(c.ListenDSN, c.DSN), c.ProbeKey)
	tried := len(probe.Notified) + len(probe.Missed)
	switch {
	case err != nil:
		c.fail(about, err, "give the key's id or first characters, and give the connection string of the schema's "+
			"owner; if no notification arrived, see the finding about the listener")
	case len(probe.Missed) > 0:
		c.fail(about, fmt.Errorf("key %s: changes of %s were not announced: %s", probe.KeyID,
			strings.Join(probe.Missed, ", "), consequence), triggerFix)
	case tried == 0:
		c.warn(about, fmt.Sprintf("key %s cannot be changed through hoko.api_keys", probe.KeyID),
			"change a key in your own table while psql runs LISTEN hoko_keys")
	default:
		c.ok(about, "key %s: changes of %s were announced and undone", probe.KeyID, strings.Join(probe.Notified, ", "))
	}
	return err == nil && tried > 0 && len(probe.Missed) == 0
}

// triggers checks that triggers notify edges of changed keys and workspaces. If a probe has shown
// that changes of keys are announced, missing triggers on keys are only a warning.
func (c *checks) triggers(ctx context.Context, db *inspect.Database, notified bool) error {
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
		c.warn(about, fmt.Sprintf("hoko.%s reads %s, a materialized view or foreign table, "+
			"whose rows change without firing a trigger", copied.Of, copied.Name),
			"let the view read the tables themselves")
	}
	for _, r := range byRelation(notifiers) {
		notifies := slices.ContainsFunc(r.tables, table.notifies)
		for _, t := range r.tables {
			if notifies && !t.notifies() {
				c.warn(about, fmt.Sprintf("hoko.%s also reads %s, none of whose triggers notifies hoko_keys: "+
					"edges learn of its changes only when the ttl ends", r.name, t.name), triggerFix)
				continue
			}
			c.tableTriggers(t, notified && r.name == "api_keys", replicating)
		}
	}
	if len(c.Findings) == before {
		c.ok(about, "they notify of changed keys and workspaces")
	}
	return nil
}

// relation is a relation of the schema hoko with the tables that it reads.
type relation struct {
	name   string
	tables []table
}

type table struct {
	name   string
	events []inspect.Notifier
}

// notifies reports whether any trigger of the table notifies, even if it is disabled. It is true
// for a partitioned table, whose only event is TRUNCATE: the partitions have the other triggers.
func (t table) notifies() bool {
	return len(t.events) == 1 || slices.ContainsFunc(t.events,
		func(n inspect.Notifier) bool { return n.Firing > inspect.Absent })
}

// byRelation groups sorted notifiers by relation and table.
func byRelation(notifiers []inspect.Notifier) (all []relation) {
	for _, n := range notifiers {
		if len(all) == 0 || all[len(all)-1].name != n.Of {
			all = append(all, relation{name: n.Of})
		}
		r := &all[len(all)-1]
		if len(r.tables) == 0 || r.tables[len(r.tables)-1].name != n.Table {
			r.tables = append(r.tables, table{name: n.Table})
		}
		t := &r.tables[len(r.tables)-1]
		t.events = append(t.events, n)
	}
	return all
}

const (
	triggerFix = "create the triggers of docs/adopting.md, step 5 (on the edge's own tables: those of " +
		"plugin/postgres/migrations); if something else notifies, prove it with --probe-key"
	consequence = "a revoked key passes until its ttl ends"
)

// tableTriggers reports the events of a table that are not announced, or not in every session.
func (c *checks) tableTriggers(t table, notified bool, replicating []string) {
	const about = "triggers"
	var missing, disabled, optional, ordinary, enable []string
	for _, n := range t.events {
		switch {
		case n.Firing == inspect.Always:
		case n.Firing == inspect.Ordinary:
			ordinary = append(ordinary, n.Name)
		case n.Event == "INSERT" || n.Event == "TRUNCATE":
			optional = append(optional, n.Event)
		case n.Firing == inspect.Disabled:
			disabled = append(disabled, n.Event)
		default:
			missing = append(missing, n.Event)
		}
		if n.Name != "" && n.Firing != inspect.Always {
			enable = append(enable, "ENABLE ALWAYS TRIGGER "+n.Name)
		}
	}
	enableFix := "ALTER TABLE " + t.name + " " + joinUnique(enable)
	switch {
	case len(missing) > 0 && notified:
		c.warn(about, fmt.Sprintf("no trigger on %s whose function names hoko_keys fires for %s, "+
			"but changes of the probed key were announced", t.name, joinUnique(missing)), triggerFix)
	case len(missing) > 0:
		c.fail(about, fmt.Errorf("no trigger on %s notifies hoko_keys of %s: %s", t.name, joinUnique(missing),
			consequence), triggerFix)
	}
	if len(disabled) > 0 {
		c.fail(about, fmt.Errorf("the triggers on %s that notify of %s are disabled: %s", t.name, joinUnique(disabled),
			consequence), enableFix)
	}
	if len(optional) > 0 {
		fix := triggerFix
		if len(enable) > 0 {
			fix = enableFix + "; else " + triggerFix
		}
		c.warn(about, fmt.Sprintf("no enabled trigger on %s notifies hoko_keys of %s: a key that was tried before it "+
			"was created is 401 for 5 s, and truncating the table revokes no key until its ttl ends",
			t.name, joinUnique(optional)), fix)
	}
	if len(ordinary) == 0 {
		return
	}
	text := fmt.Sprintf("triggers on %s (%s) do not fire if session_replication_role is replica", t.name,
		joinUnique(ordinary))
	if len(replicating) > 0 {
		c.fail(about, fmt.Errorf("%s, as it is for %s: %s", text, strings.Join(replicating, ", "), consequence),
			enableFix)
		return
	}
	c.warn(about, text+", as in a subscription: then "+consequence, enableFix)
}

// joinUnique returns the texts sorted, each once, with commas.
func joinUnique(texts []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(texts))), ", ")
}
