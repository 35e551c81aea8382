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

// rowSecurity finds row-level security that hides rows from the edge. The edge cannot distinguish
// hidden rows from missing ones.
func (c *checks) rowSecurity(ctx context.Context, db *inspect.Database) error {
	const about = "row-security"
	hidden, err := db.RowSecurity(ctx)
	if err != nil {
		return err
	}
	for _, h := range hidden {
		text := fmt.Sprintf("row-level security of %s (read through hoko.%s as %s)", h.Table, h.Of, h.Reader)
		command := "SELECT"
		if h.Updates {
			command = "UPDATE"
		}
		fix := fmt.Sprintf("CREATE POLICY hoko_edge_%s ON %s FOR %s TO %s USING (true), or ALTER ROLE %[4]s BYPASSRLS",
			strings.ToLower(command), h.Table, command, h.Reader)
		shows, err := db.HasRows(ctx, h.Of)
		switch {
		case err != nil:
			c.fail(about, fmt.Errorf("%s fails: %w", text, err), fix)
		case h.Policies == "":
			c.fail(about, fmt.Errorf("%s hides all rows from %s: %s", text, command, consequences[h.Of]), fix)
		case !shows && h.Filled:
			c.fail(about, fmt.Errorf("%s hides all current rows (policies %s): %s", text, h.Policies,
				consequences[h.Of]), fix)
		default:
			c.warn(about, fmt.Sprintf("%s hides some rows from %s (policies %s); for these, %s", text, command,
				h.Policies, consequences[h.Of]), fix)
		}
	}
	if len(hidden) == 0 {
		c.ok(about, "it hides no rows from the role")
	}
	return nil
}

// consequences are what hidden rows cause, by relation.
var consequences = map[string]string{
	"workspaces":       "every key is 401",
	"api_keys":         "every key is 401",
	"links":            "every sale is 400",
	"clicks":           "every sale with a clickId is 400",
	"leads":            "every sale that a lead attributes is 400",
	"customers":        "every sale of a known customer is 500 or 503",
	"sales":            "a sale that is sent again after a lost connection is recorded twice or 500",
	"idempotency_keys": "every retry is 500",
}

// attribution checks that a sale can be attributed to a link.
func (c *checks) attribution(ctx context.Context, db *inspect.Database) error {
	const about = "attribution"
	has, err := db.AttributionSources(ctx)
	switch {
	case err != nil:
		return err
	case !has.Links:
		c.warn(about, "hoko.links is empty: every sale is 400, because nothing attributes it", firstSaleFix)
	case !has.Clicks && !has.Leads:
		c.warn(about, "hoko.clicks and hoko.leads are empty: every sale is 400, because nothing attributes it",
			firstSaleFix)
	case !has.Clicks:
		c.warn(about, "hoko.clicks is empty: every sale with a clickId is 400", firstSaleFix)
	default:
		c.ok(about, "there are links and clicks")
	}
	return nil
}

const firstSaleFix = "see docs/first-sale.md for how to add links, clicks and leads"

// indexes checks the plans of the statements that the edge runs for each sale and for each key that
// is not cached.
func (c *checks) indexes(ctx context.Context) {
	const about = "indexes"
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	o := postgres.Options{DSN: c.DSN}
	ofSales, err := sales.FullScans(ctx, o)
	ofKeys, keysErr := keys.FullScans(ctx, o)
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
				c.ok(about, "%s, but it has too few rows to show whether an index is missing", text)
				continue
			}
			c.warn(about, text,
				"create the index of docs/adopting.md, step 2, on the exact expression of the view, with its collation")
		}
	}
	if len(ofSales)+len(ofKeys) == 0 {
		c.ok(about, "every lookup uses an index")
	}
}
