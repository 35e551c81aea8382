package sales

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

// askAgain leaves it to the next batch to find out what became of this one.
func (r *runner) askAgain(a attempt, err error) {
	if due(&r.notices.lost) {
		r.options.Logger.Warn("a database connection was lost with sales on it; they are asked for again", slog.Any("error", err))
	}
	r.session.drop()
	r.again = append(r.again, keep(a.sales, (*pendingSale).lose)...)
}

// reconnect runs the attempt again on another connection; it was not sent, or
// the server no longer knows the statement.
func (r *runner) reconnect(a attempt, err error) {
	r.session.drop()
	for _, p := range a.sales {
		if p.resends++; p.resends > maxTries {
			p.fail(notRecorded(err))
			continue
		}
		r.again = append(r.again, p)
	}
}

// repeat runs the attempt again, and after a few times its halves. Sales whose keys conflict run
// separately from then on, and last, as more of them may conflict.
func (r *runner) repeat(a attempt, err error) {
	if twins, others := splitConflicting(a.sales, err); len(twins) > 0 && len(others) > 0 {
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
// If it waited for an idempotency key that another session is just committing, Postgres does not say
// which: the sales with keys then run by workspace, separately from the others, and wait a little
// longer.
func (r *runner) stepAside(a attempt, err error) {
	twins, others := splitConflicting(a.sales, err)
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
			r.missed = append(r.missed, missed{p, customerLocked})
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
func (r *runner) halve(a attempt, err error) {
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
func (r *runner) giveUp(a attempt, v verdict, err error) {
	err = postgres.SchemaError(err)
	if due(&r.notices.trouble) {
		r.options.Logger.Error("sales cannot be recorded", slog.Any("error", err))
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

// action is what becomes of a batch whose statement failed.
type action int

const (
	halve     action = iota // one of its sales is not to Postgres's liking
	repeat                  // another transaction came first: the next try sees what it did
	stepAside               // it would have had to wait for another session
	giveUp                  // Postgres can record nothing at present
	reconnect               // nothing was executed
	askAgain                // the outcome is unknown until the same ids are asked for again
)

// verdict on a failed statement. Each action but askAgain implies that it has
// written nothing.
type verdict struct {
	do          action
	dropSession bool   // with giveUp: another connection may do better
	class       string // of the SQLSTATE, one of a closed set, for the metrics
}

// failureClasses are all the classes of a verdict.
var failureClasses = []string{"08", "22", "23", "25", "26", "40", "42", "53", "55", "other", "unsent"}

func judge(err error) verdict {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && !fatal(refusal):
		return judgeRefusal(refusal)
	case !ok && pgconn.SafeToRetry(err):
		return verdict{do: reconnect, class: "unsent"}
	default:
		// A session's end, too, says nothing about the statement: it may come from a pooler in between, which does
		// not know either.
		return verdict{do: askAgain, class: "08"}
	}
}

// judgeRefusal is for an error of the statement, which has therefore been
// rolled back.
func judgeRefusal(refusal *pgconn.PgError) verdict {
	code := refusal.Code
	switch code {
	case pgerrcode.LockNotAvailable:
		return verdict{do: stepAside, class: "55"}
	case pgerrcode.UniqueViolation:
		return verdict{do: repeat, class: "23"}
	case pgerrcode.ReadOnlySQLTransaction: // a standby by now
		return verdict{do: giveUp, dropSession: true, class: "25"}
	case pgerrcode.InvalidSQLStatementName: // the prepared statement is gone (a pooler)
		return verdict{do: reconnect, class: "26"}
	case pgerrcode.FeatureNotSupported: // one sale's characters may be, or
		if refusal.Routine == columnsChanged {
			return verdict{do: reconnect, class: "26"}
		}
	case pgerrcode.InsufficientPrivilege, pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn, pgerrcode.InvalidSchemaName:
		return verdict{do: giveUp, dropSession: true, class: "42"}
	}
	// By class, not by the codes known today.
	switch class := code[:min(2, len(code))]; class {
	case pgerrcode.TransactionRollback[:2]:
		return verdict{do: repeat, class: "40"}
	case pgerrcode.ConnectionException[:2], pgerrcode.InsufficientResources[:2],
		pgerrcode.OperatorIntervention[:2], pgerrcode.SystemError[:2]: // statement_timeout too
		return verdict{do: giveUp, class: "53"}
	case pgerrcode.DataException[:2], pgerrcode.IntegrityConstraintViolation[:2]:
		return verdict{do: halve, class: class}
	}
	return verdict{do: halve, class: "other"}
}

// columnsChanged is the routine of Postgres that finds that a prepared
// statement's columns are no longer what they were: a migration has changed them.
const columnsChanged = "RevalidateCachedQuery"

// fatal tells an error that ended the session.
func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" ||
		e.Severity == "FATAL" || e.Severity == "PANIC"
}

const keysTable = "idempotency_keys"

// splitConflicting separates the sales whose idempotency key may have caused err, so that the others
// need not be retried with them. It returns none if err is about something else.
func splitConflicting(sales []*pendingSale, err error) (twins, others []*pendingSale) {
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
