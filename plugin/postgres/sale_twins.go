package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const keysTable = "idempotency_keys"

// apart tells the sales that an error puts down to their idempotency keys from
// the others of their batch, whom the next one of the same tenant must not cost
// another run. Without twins the error was about something else.
func apart(sales []*pendingSale, err error) (twins, others []*pendingSale) {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil, sales
	}
	suspect := suspects(sales, refusal)
	if suspect == nil {
		return nil, sales
	}
	for _, p := range sales {
		if suspect(p) {
			twins = append(twins, p)
		} else {
			others = append(others, p)
		}
	}
	return twins, others
}

// suspects is nil where the error is not about idempotency keys. Names and
// values stand in it whatever the server's language is.
func suspects(sales []*pendingSale, refusal *pgconn.PgError) func(*pendingSale) bool {
	keyed := func(p *pendingSale) bool { return p.IdempotencyKey != "" }
	switch {
	case refusal.TableName == keysTable: // a duplicate, which its detail names, after the columns
		_, duplicate, _ := strings.Cut(refusal.Detail, ")=(") // the first: keys may themselves read like a detail
		culprits := map[string]bool{}
		for _, p := range sales {
			if keyed(p) && strings.HasPrefix(duplicate, p.WorkspaceID+", "+p.IdempotencyKey+")") {
				culprits[p.WorkspaceID] = true
			}
		}
		return func(p *pendingSale) bool { return keyed(p) && (len(culprits) == 0 || culprits[p.WorkspaceID]) }
	case strings.Contains(refusal.Where, keysTable): // a wait for one, which only names the index
		return keyed
	}
	return nil
}

// byTenant groups sales by their workspace, in their order.
func byTenant(sales []*pendingSale) [][]*pendingSale {
	var tenants [][]*pendingSale
	at := map[string]int{}
	for _, p := range sales {
		i, known := at[p.WorkspaceID]
		if !known {
			i = len(tenants)
			at[p.WorkspaceID] = i
			tenants = append(tenants, nil)
		}
		tenants[i] = append(tenants[i], p)
	}
	return tenants
}
