package sales

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

// askAgain leaves it to a statement of their own to find out what became of these sales. An error that does not end the
// session may be the fault of one of them each time: if it meets those that are asked for, their halves follow.
func (r *runner) askAgain(a attempt, err error) {
	refusal, answered := errors.AsType[*pgconn.PgError](err)
	answered = answered && !fatal(refusal)
	if answered && r.asks && len(a.sales) > 1 {
		r.halve(a, nil)
		return
	}
	if due(&r.notices.lost) {
		r.options.Logger.Warn("a database connection was lost with sales on it; they are asked for again", slog.Any("error", err))
	}
	if !answered {
		r.session.drop()
	} else if len(a.sales) == 1 {
		r.suspect(a.sales[0])
	}
	r.again = append(r.again, keep(a.sales, (*pendingSale).lose)...)
}

// reconnect runs the attempt again on another connection; it was not sent, or
// the server no longer knows the statement.
func (r *runner) reconnect(a attempt, err error) {
	r.session.drop()
	for _, p := range a.sales {
		if p.resends++; p.resends > maxTries {
			r.fail(p, notRecorded(err))
			continue
		}
		r.again = append(r.again, p)
	}
}

// repeat runs the attempt again, and after a few times its halves. Sales of a workspace whose idempotency key another
// session has just used leave the batch, if they are not all of it, and join one of their own.
func (r *runner) repeat(a attempt, err error) {
	if conflicting, others := splitConflicting(a.sales, err); len(conflicting) > 0 {
		r.suspect(conflicting[0])
		if len(others) > 0 && conflicting[0].conflicts < maxTries {
			for _, p := range conflicting {
				p.conflicts++
			}
			r.again = append(r.again, conflicting...)
			r.todo = append(r.todo, attempt{sales: others, existing: a.existing, tries: a.tries})
			return
		}
	}
	if a.tries++; a.tries < maxTries {
		r.todo = append(r.todo, a)
		return
	}
	if conflict, ok := errors.AsType[*pgconn.PgError](err); ok && pgerrcode.IsIntegrityConstraintViolation(conflict.Code) {
		r.halve(a, refused(err)) // what it conflicts with has been committed, and is not this sale
		return
	}
	r.halve(a, conflicted(err))
}

// stepAside finds the sale that would have had to wait for another session: it runs the halves of the attempt, and
// leaves a single sale to the slow lane, which waits. Nothing is said of a wait for a whole table: no sale is to blame,
// and all of them join the next batch.
func (r *runner) stepAside(a attempt, err error) {
	switch {
	case r.waits:
		r.leave(a.sales, customerLocked)
	case waitedForTable(err):
		r.again = append(r.again, a.sales...)
	case r.blocked >= maxBlocked:
		r.leave(a.sales, batchBlocked)
	case len(a.sales) > 1:
		r.halve(a, nil)
	case r.asks: // so the others are asked for before it the next time
		for _, rest := range r.todo {
			r.again = append(r.again, rest.sales...)
		}
		r.todo = r.todo[:0]
		r.again = append(r.again, a.sales...)
	case !a.existing: // is it the customer, which another session is creating?
		r.blocked++
		r.suspect(a.sales[0])
		r.isolate(a.sales[0].WorkspaceID)
		a.existing = true
		r.todo = append(r.todo, a)
	default:
		r.leave(a.sales, customerLocked)
	}
}

// maxBlocked is how many sales of a batch are found one by one that would have to wait, each of which costs a wait for
// every halving. Then all goes to the slow lane in which there is another one.
const maxBlocked = 3

// isolate takes the sales of a workspace out of the attempts to come, unless they are all of them: they join a batch of
// their own.
func (r *runner) isolate(workspaceID string) {
	others := func(p *pendingSale) bool { return p.WorkspaceID != workspaceID }
	if !slices.ContainsFunc(r.todo, func(a attempt) bool { return slices.ContainsFunc(a.sales, others) }) {
		return
	}
	for i, a := range r.todo {
		for _, p := range a.sales {
			if !others(p) {
				r.again = append(r.again, p)
			}
		}
		r.todo[i].sales = keep(a.sales, others)
	}
}

// leave lists sales as missed.
func (r *runner) leave(sales []*pendingSale, why miss) {
	for _, p := range sales {
		r.missed = append(r.missed, missed{p, why})
	}
}

// waitedForTable reports whether a lock on a whole table was waited for, as CREATE INDEX holds it. Other waits say
// where they were.
func waitedForTable(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refusal.Where == ""
}

// halve runs the halves of the attempt, so that in the end one bad sale fails
// alone, with err.
func (r *runner) halve(a attempt, err error) {
	if len(a.sales) == 1 {
		r.suspect(a.sales[0]) // the next one like it is to cost its own workspace only
		r.fail(a.sales[0], err)
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
		r.fail(p, notRecorded(err))
	}
}

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
	case ok && !fatal(refusal) && !ofAPooler(refusal.Code):
		return judgeRefusal(refusal)
	case !ok && pgconn.SafeToRetry(err):
		return verdict{do: reconnect, class: "unsent"}
	default:
		// A session's end, too, says nothing about the statement: it may come from a pooler in between, which does
		// not know either.
		return verdict{do: askAgain, class: "08"}
	}
}

// ofAPooler reports whether an error may be a pooler's, which has lost the server and does not end the session for it.
// Postgres itself ends the session with some of these codes, and none of them tells what became of the statement.
func ofAPooler(code string) bool {
	switch code {
	case pgerrcode.StatementCompletionUnknown, pgerrcode.SystemError, pgerrcode.AdminShutdown, pgerrcode.CrashShutdown,
		pgerrcode.CannotConnectNow, pgerrcode.DatabaseDropped, pgerrcode.IdleSessionTimeout:
		return true
	}
	return pgerrcode.IsConnectionException(code)
}

// judgeRefusal is for an error of the statement, which has therefore been
// rolled back.
func judgeRefusal(refusal *pgconn.PgError) verdict {
	if postgres.StatementUnusable(refusal) {
		return verdict{do: reconnect, class: "26"}
	}
	code := refusal.Code
	switch code {
	case pgerrcode.LockNotAvailable:
		return verdict{do: stepAside, class: "55"}
	case pgerrcode.UniqueViolation, pgerrcode.ExclusionViolation, pgerrcode.ForeignKeyViolation: // a race may be over
		return verdict{do: repeat, class: "23"}
	case pgerrcode.ReadOnlySQLTransaction: // a standby by now
		return verdict{do: giveUp, dropSession: true, class: "25"}
	case pgerrcode.InsufficientPrivilege, pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn, pgerrcode.InvalidSchemaName:
		return verdict{do: giveUp, dropSession: true, class: "42"}
	}
	// By class, not by the codes known today.
	switch class := code[:min(2, len(code))]; class {
	case pgerrcode.TransactionRollback[:2]:
		return verdict{do: repeat, class: "40"}
	case pgerrcode.InsufficientResources[:2], pgerrcode.OperatorIntervention[:2], pgerrcode.SystemError[:2]: // statement_timeout too
		return verdict{do: giveUp, class: "53"}
	case pgerrcode.DataException[:2], pgerrcode.IntegrityConstraintViolation[:2]:
		return verdict{do: halve, class: class}
	}
	return verdict{do: halve, class: "other"}
}

// blocked reports whether a lock on one of the tables, or a statement_timeout while waiting for it, kept a session from
// being prepared. That needs no other connection, but time.
func blocked(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refusal.Code == pgerrcode.LockNotAvailable || refusal.Code == pgerrcode.QueryCanceled)
}

// fatal tells an error that ended the session.
func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" ||
		e.Severity == "FATAL" || e.Severity == "PANIC"
}

const keysTable = "idempotency_keys"

// splitConflicting separates the sales of the workspace whose idempotency key the err names as a duplicate. It returns
// none if err is about something else, or does not name one of these sales.
func splitConflicting(sales []*pendingSale, err error) (conflicting, others []*pendingSale) {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refusal.TableName != keysTable {
		return nil, sales
	}
	// Names and values stand in the detail whatever the server's language is: after the first ")=(", as keys may
	// themselves read like a detail.
	_, duplicate, _ := strings.Cut(refusal.Detail, ")=(")
	culprit := slices.IndexFunc(sales, func(p *pendingSale) bool {
		return p.IdempotencyKey != "" && strings.HasPrefix(duplicate, p.WorkspaceID+", "+p.IdempotencyKey+")")
	})
	if culprit < 0 {
		return nil, sales
	}
	workspace := sales[culprit].WorkspaceID
	for _, p := range sales {
		if p.WorkspaceID == workspace && p.IdempotencyKey != "" {
			conflicting = append(conflicting, p)
		} else {
			others = append(others, p)
		}
	}
	return conflicting, others
}

// rename gives a sale another id, as another workspace has a sale of this one;
// which also proves that no earlier statement recorded it.
func (r *runner) rename(p *pendingSale) {
	id, err := uuid.NewV7()
	if err != nil {
		r.fail(p, notRecorded(err))
		return
	}
	p.id, p.unknown = id, false
	p.name(id)
	r.miss(p, customerBusy)
}
