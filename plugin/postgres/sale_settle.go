package postgres

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// settle deals with the rows of a committed statement.
func (r *saleRunner) settle(sales []*pendingSale) {
	var earlier bool
	for i, p := range sales {
		row := &r.batch.rows[i]
		switch row.status {
		case "ok":
			p.answer(row.recorded, row.err)
		case "exists", "replay":
			earlier = true
		case "mismatch":
			p.answer(nil, sale.ErrIdempotencyMismatch)
		case "unattributed":
			p.fail(sale.ErrUnattributed)
		case "busy", "raced":
			r.miss(p, customerBusy)
		case "new":
			r.miss(p, customerNew)
		case "taken":
			r.rename(p)
		default:
			p.answer(nil, fmt.Errorf("%w: the database has not said what became of it", sale.ErrOutcomeUnknown))
		}
	}
	if earlier {
		r.settleEarlier(sales)
	}
}

// settleEarlier answers sales that an earlier statement has recorded, once they
// are as safe as if this one had.
func (r *saleRunner) settleEarlier(sales []*pendingSale) {
	ctx, cancel := context.WithDeadline(r.store.cut, lastDeadline(sales).Add(deadlineGrace))
	defer cancel()
	err := r.session.awaitStandbys(ctx)
	lost := err != nil && judge(err).do == askAgain
	if lost {
		r.session.drop()
	}
	for i, p := range sales {
		row := &r.batch.rows[i]
		switch {
		case row.status != "exists" && row.status != "replay":
		case err == nil:
			r.mind(row)
			p.answer(row.recorded, row.err)
		case !lost:
			p.answer(nil, fmt.Errorf("%w: it is recorded, but perhaps not on the standbys: %w", sale.ErrOutcomeUnknown, err))
		case p.lose():
			r.again = append(r.again, p)
		}
	}
}

// mind tells the operator of a sale whose retry will be another: a key is stored
// with each row that the INSERT returns, which a site's own trigger may keep back.
func (r *saleRunner) mind(row *saleRow) {
	if row.keyless && r.store.keyless.now() {
		r.store.options.Logger.Error("a sale is recorded without its idempotency key, and a retry will record it twice",
			slog.String("remedy", "end the INSTEAD OF INSERT trigger on hoko.sales with RETURN NEW"))
	}
}

// miss takes back the claim of a sale that was not recorded.
func (r *saleRunner) miss(p *pendingSale, why miss) {
	p.misses++
	if !p.release() {
		return
	}
	if r.missed(p, why) {
		r.again = append(r.again, p)
	}
}

// rename gives a sale another id, as another workspace has a sale of this one;
// which also proves that no earlier statement recorded it.
func (r *saleRunner) rename(p *pendingSale) {
	id, err := uuid.NewV7()
	if err != nil {
		p.fail(notRecorded(err))
		return
	}
	p.id, p.unknown = id, false
	p.name(id)
	r.miss(p, customerBusy)
}
