package postgres

import (
	"errors"
	"fmt"
	"log/slog"
)

// askAgain leaves it to the next batch to find out what became of this one.
func (r *saleRunner) askAgain(a attempt, err error) {
	if r.store.lost.now() {
		r.store.options.Logger.Warn("a database connection was lost with sales on it; they are asked for again", slog.Any("error", err))
	}
	r.session.drop()
	r.again = append(r.again, keep(a.sales, (*pendingSale).lose)...)
}

// reconnect runs the attempt again on another connection; it was not sent, or
// the server no longer knows the statement.
func (r *saleRunner) reconnect(a attempt, err error) {
	r.session.drop()
	for _, p := range a.sales {
		if p.resends++; p.resends > maxTries {
			p.fail(notRecorded(err))
			continue
		}
		r.again = append(r.again, p)
	}
}

// repeat runs the attempt again, and after a few times its halves. Sales whose
// keys conflict run apart from then on, and last: more of their kind may.
func (r *saleRunner) repeat(a attempt, err error) {
	if twins, others := apart(a.sales, err); len(twins) > 0 && len(others) > 0 {
		r.todo = append(r.todo,
			attempt{sales: twins, existing: a.existing, tries: a.tries + 1},
			attempt{sales: others, existing: a.existing, tries: a.tries})
		return
	}
	if a.tries++; a.tries < maxTries {
		r.todo = append(r.todo, a)
		return
	}
	r.halve(a, conflicted(err))
}

// stepAside runs the attempt again without creating customers, then its halves;
// a single sale that would still wait is left to the slow lane, which waits.
// Where a twin is waited for that is just being committed elsewhere, Postgres
// does not say whose: the sales with keys run by tenant, apart from the others,
// and wait a little longer.
func (r *saleRunner) stepAside(a attempt, err error) {
	twins, others := apart(a.sales, err)
	switch {
	case !r.waits && !a.patient && len(twins) > 0:
		for _, tenant := range byTenant(twins) {
			r.todo = append(r.todo, attempt{sales: tenant, existing: a.existing, patient: true})
		}
		if len(others) > 0 {
			r.todo = append(r.todo, attempt{sales: others, existing: a.existing})
		}
	case r.waits || a.patient || a.existing && len(a.sales) == 1:
		for _, p := range a.sales {
			if r.missed(p, customerLocked) {
				r.again = append(r.again, p)
			}
		}
	case a.existing:
		r.halve(a, nil)
	default:
		a.existing = true
		r.todo = append(r.todo, a)
	}
}

// halve runs the halves of the attempt, so that in the end one bad sale fails
// alone, with err.
func (r *saleRunner) halve(a attempt, err error) {
	if len(a.sales) == 1 {
		a.sales[0].fail(err)
		return
	}
	middle := len(a.sales) / 2
	r.todo = append(r.todo,
		attempt{sales: a.sales[middle:], existing: a.existing},
		attempt{sales: a.sales[:middle:middle], existing: a.existing})
}

// giveUp answers for a database that can record nothing at present.
func (r *saleRunner) giveUp(a attempt, v verdict, err error) {
	err = schemaError(err)
	if r.store.trouble.now() {
		r.store.options.Logger.Error("sales cannot be recorded", slog.Any("error", err))
	}
	if v.dropSession {
		r.session.drop()
	}
	for _, p := range a.sales {
		p.fail(notRecorded(err))
	}
}

// refused is what a sale fails with that the database does not take.
func refused(err error) error {
	return fmt.Errorf("the database refused the sale: %w", err)
}

// conflicted is what a sale fails with that conflicts each time: nothing is
// wrong with it, so it may be tried again.
func conflicted(err error) error {
	return notRecorded(errors.Join(errConflict, err))
}

var errConflict = errors.New("it conflicts with other transactions")
