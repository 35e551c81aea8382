package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/inspect"
	"hoko.to/edge/plugin/postgres/keys"
	"hoko.to/edge/plugin/postgres/sales"
)

// rowSecurity looks for row-level security that hides rows from the edge, which it cannot
// distinguish from rows that do not exist.
func (c *checks) rowSecurity(ctx context.Context, db *inspect.Database) error {
	const about = "row-security"
	hidden, err := db.RowSecurity(ctx)
	if err != nil {
		return err
	}
	for _, h := range hidden {
		text := fmt.Sprintf("row-level security of %s, read for hoko.%s as %s", h.Table, h.Of, h.Reader)
		command := "SELECT"
		if h.Updates {
			command = "UPDATE"
		}
		fix := fmt.Sprintf("CREATE POLICY hoko_edge_%s ON %s FOR %s TO %s USING (true), or ALTER ROLE %[4]s BYPASSRLS",
			strings.ToLower(command), h.Table, command, h.Reader)
		shows, err := db.Shows(ctx, h.Of)
		switch {
		case err != nil:
			c.fail(about, fmt.Errorf("%s, fails: %w", text, err), fix)
		case h.Policies == "":
			c.fail(about, fmt.Errorf("%s, admits no row to %s: %s", text, command, consequences[h.Of]), fix)
		case !shows && h.Filled:
			c.fail(about, fmt.Errorf("%s, admits no row now (policies %s): %s", text, h.Policies, consequences[h.Of]),
				fix)
		default:
			c.warn(about, fmt.Sprintf("%s, admits only some rows to %s (policies %s); of the others, %s", text, command,
				h.Policies, consequences[h.Of]), fix)
		}
	}
	if len(hidden) == 0 {
		c.ok(about, "hides no row from the role")
	}
	return nil
}

// consequences of rows that are hidden, by the relation.
var consequences = map[string]string{
	"workspaces":       "every key is 401",
	"api_keys":         "every key is 401",
	"links":            "every sale is 400",
	"clicks":           "every sale by clickId is 400",
	"leads":            "every sale by a lead is 400",
	"customers":        "every sale of a known customer is 500 or 503",
	"sales":            "a sale that is asked for again is recorded twice or 500",
	"idempotency_keys": "every retry is 500",
}

// attribution says whether anything can earn a sale.
func (c *checks) attribution(ctx context.Context, db *inspect.Database) error {
	const about = "attribution"
	has, err := db.Source(ctx)
	switch {
	case err != nil:
		return err
	case !has.Links:
		c.warn(about, "hoko.links is empty: every sale is 400, as nothing can earn it", firstSaleFix)
	case !has.Clicks && !has.Leads:
		c.warn(about, "hoko.clicks and hoko.leads are empty: every sale is 400, as nothing can earn it", firstSaleFix)
	case !has.Clicks:
		c.warn(about, "hoko.clicks is empty: every sale with a clickId is 400", firstSaleFix)
	default:
		c.ok(about, "there are links and clicks")
	}
	return nil
}

const firstSaleFix = "see docs/first-sale.md for how links, clicks and leads get in"

// indexes explains the statements that the edge runs for each sale and for each key that is not
// cached.
func (c *checks) indexes(ctx context.Context) {
	const about = "indexes"
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := postgres.Options{DSN: c.DSN}
	ofSales, err := sales.FullScans(ctx, o)
	ofKeys, keysErr := keys.Unprobed(ctx, o)
	if err := cmp.Or(err, keysErr); err != nil {
		c.fail(about, err, grantFix)
		return
	}
	for _, read := range []struct {
		what  string
		scans []postgres.Scan
	}{{"each sale", ofSales}, {"each key that is not cached", ofKeys}} {
		for _, scan := range read.scans {
			text := fmt.Sprintf("%s reads much of %s.%s (%s)", read.what, scan.Schema, scan.Relation, scan.How)
			if scan.Small {
				c.ok(about, "%s, which has too few rows to tell whether an index is missing", text)
				continue
			}
			c.warn(about, text, "create the index of docs/adopting.md, step 2, on the view's very expression, collation included")
		}
	}
	if len(ofSales)+len(ofKeys) == 0 {
		c.ok(about, "every lookup is an index probe")
	}
}
