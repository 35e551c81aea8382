package sales_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// act is what somebody does to a shop: a sale, or a change of the site's.
type act interface {
	// perform does it to the database.
	perform(*stage) answer
	// step does it to the model; told is what perform answered.
	step(w *world, l ledger, told answer) (answer, ledger)
	// touches are the customers, sale ids and keys that it depends on.
	touches() []any
	String() string
}

// stage is where one caller acts.
type stage struct {
	edges []*sales.Store
	site  testenv.DB
}

// saleAct is a sale on one of the edges.
type saleAct struct {
	*sale.Sale
	edge int
}

func (a saleAct) perform(s *stage) answer {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.HangGuard)
	defer cancel()
	return told(s.edges[a.edge].Record(ctx, a.Sale))
}

func told(r *sale.Recorded, err error) answer {
	switch {
	case errors.Is(err, sale.ErrUnattributed):
		return answer{result: wasUnattributed}
	case errors.Is(err, sale.ErrIdempotencyMismatch):
		return answer{result: wasMismatch}
	case isUnknown(err):
		return answer{result: wasUnknown}
	case errors.Is(err, sale.ErrNotRecorded) && strings.Contains(err.Error(), "too many sales wait"):
		return answer{result: wasShed}
	case err != nil:
		return answer{result: err.Error()}
	}
	a := answer{
		result: wasRecorded, saleID: r.SaleID, attribution: string(r.Attribution), click: text(r.ClickID), link: linkText(r.Link),
		external: r.Customer.ExternalID,
		customer: customerRow{r.Customer.ID, r.Customer.Name, text(r.Customer.Email), text(r.Customer.Phone), text(r.Customer.Avatar), false},
		amount:   r.Amount, currency: r.Currency, event: r.EventName, metadata: string(r.Metadata),
	}
	if r.Replayed {
		a.result = wasReplayed
	}
	return a
}

func (a saleAct) step(w *world, l ledger, told answer) (answer, ledger) {
	if told.result == wasShed {
		return told, l
	}
	return w.record(l, a.Sale, told)
}

func (a saleAct) touches() []any {
	all := []any{a.name(), a.ID}
	if a.IdempotencyKey != "" {
		all = append(all, keyName{a.WorkspaceID, a.IdempotencyKey})
	}
	return all
}

func (a saleAct) name() customerName {
	return customerName{a.WorkspaceID, a.Request.CustomerExternalID}
}

func (a saleAct) String() string {
	r := a.Request
	return fmt.Sprintf("edge %d: %v of %s/%s %q email %s avatar %s, lead %q click %q, key %q, %d %s %q %s", a.edge, a.ID, a.WorkspaceID,
		r.CustomerExternalID, r.CustomerName, optionalText(r.CustomerEmail), optionalText(r.CustomerAvatar), r.LeadEventName, r.ClickID,
		a.IdempotencyKey, r.Amount, r.Currency, r.EventName, r.Metadata)
}
