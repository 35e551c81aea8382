package sales_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"hoko.to/edge/internal/testenv"
)

// siteAct is what the site does to a customer, in a transaction of its own that may hold it for a while, and be rolled back.
type siteAct struct {
	kind     string
	customer customerName
	value    string // where the kind needs one; unique
	hold     time.Duration
	aborted  bool
	after    int // so many sales
}

// siteKinds say in SQL and to the model what the site does. The SQL returns the customer's row.
var siteKinds = map[string]struct {
	sql    string
	change func(c *customerRow, name *customerName, value string)
}{
	"look":   {"SELECT %[1]s FROM hoko.customers %[2]s", func(*customerRow, *customerName, string) {}},
	"call":   {"UPDATE hoko.customers SET phone = $3, email = $3 %[2]s RETURNING %[1]s", func(c *customerRow, _ *customerName, v string) { c.phone, c.email = v, v }},
	"delete": {"UPDATE hoko.customers SET deleted_at = now() %[2]s RETURNING %[1]s", func(c *customerRow, _ *customerName, _ string) { c.deleted = true }},
	"rename": {"UPDATE hoko.customers SET external_id = $3 %[2]s RETURNING %[1]s", func(_ *customerRow, n *customerName, v string) { n.external = v }},
	"move":   {"UPDATE hoko.customers SET workspace_id = $3 %[2]s RETURNING %[1]s", func(_ *customerRow, n *customerName, v string) { n.workspace = v }},
	"purge":  {"DELETE FROM hoko.customers %[2]s RETURNING %[1]s", func(_ *customerRow, n *customerName, _ string) { *n = nobody }},
	// The only one of a customer that does not exist.
	"create": {"INSERT INTO hoko.customers (workspace_id, external_id, phone) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING %[1]s",
		func(c *customerRow, _ *customerName, v string) { c.phone = v }},
}

const (
	customerColumns = "id, coalesce(name, 'null'), coalesce(email, 'null'), coalesce(phone, 'null'), coalesce(avatar, 'null'), deleted_at IS NOT NULL"
	customerSought  = "WHERE workspace_id = $1 AND external_id = $2 AND $3 <> ''"
)

var nobody customerName

func (a siteAct) perform(s *stage) answer {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
	defer cancel()
	var told answer
	err := pgx.BeginFunc(ctx, s.site.Conn, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, fmt.Sprintf(siteKinds[a.kind].sql, customerColumns, customerSought), a.customer.workspace, a.customer.external, a.value).
			Scan(told.customer.columns()...)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_sleep($1)", a.hold.Seconds()); err != nil {
			return err
		}
		if a.aborted {
			return errAborted
		}
		return nil
	})
	switch {
	case errors.Is(err, errAborted):
		return answer{}
	case err != nil:
		return answer{result: err.Error()}
	}
	return told
}

var errAborted = errors.New("aborted")

func (a siteAct) step(_ *world, l ledger, told answer) (answer, ledger) {
	c, known := l.customers[a.customer]
	if a.aborted || known == (a.kind == "create") {
		return answer{}, l
	}
	if !known {
		c = newcomer
		c.id = told.customer.id
	}
	name := a.customer
	siteKinds[a.kind].change(&c, &name, a.value)
	l.customers = maps.Clone(l.customers)
	delete(l.customers, a.customer)
	if name != nobody {
		l.customers[name] = c
	}
	return answer{customer: c}, l
}

func (a siteAct) touches() (all []any) {
	for _, name := range a.names() {
		all = append(all, name)
	}
	return all
}

// names are the customer's, before and after.
func (a siteAct) names() []customerName {
	return []customerName{a.customer, {a.customer.workspace, a.value}, {a.value, a.customer.external}}
}

func (a siteAct) String() string {
	return fmt.Sprintf("site: %s %s/%s %s, held for %v, aborted %v", a.kind, a.customer.workspace, a.customer.external, a.value, a.hold, a.aborted)
}
