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

// askAgain hands over sales with an unknown outcome, which separate statements send again. One of
// the sales may cause the error each time: if this already was such a statement and its session
// survived, its halves follow.
func (r *runner) askAgain(a attempt, err error) {
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	answered = answered && !fatal(pgErr)
	if answered && r.asks && len(a.sales) > 1 {
		r.halve(a, nil)
		return
	}
	if due(&r.notices.lost) {
		r.options.Logger.Warn("a database connection was lost during a statement; its sales are sent again",
			slog.Any("error", err))
	}
	if !answered {
		r.session.drop()
	} else if len(a.sales) == 1 {
		r.suspect(a.sales[0])
	}
	r.again = append(r.again, filter(a.sales, (*pendingSale).lose)...)
}

// reconnect moves an attempt to another connection: the server has not run its statement.
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

// repeat runs the attempt again, and its halves after maxTries. If another session has just used an
// idempotency key, the sales of its workspace move to another batch, unless there are no others.
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
	conflict, ok := errors.AsType[*pgconn.PgError](err)
	if ok && pgerrcode.IsIntegrityConstraintViolation(conflict.Code) {
		r.halve(a, rejected(err)) // it conflicts with a committed row that is not this sale's
		return
	}
	r.halve(a, conflicted(err))
}

// stepAside finds the sale that would have to wait for another session: it runs the halves of the
// attempt, and leaves a single sale to the slow lane. If a whole table is locked, no sale is the
// cause, and all join the next batch.
func (r *runner) stepAside(a attempt, err error) {
	switch {
	case r.waits:
		r.markMissed(a.sales, customerLocked)
	case waitedForTable(err):
		r.again = append(r.again, a.sales...)
	case r.blocked >= maxBlocked:
		r.markMissed(a.sales, batchBlocked)
	case len(a.sales) > 1:
		r.halve(a, nil)
	case r.asks: // next time, the others are sent before this one
		for _, rest := range r.todo {
			r.again = append(r.again, rest.sales...)
		}
		r.todo = r.todo[:0]
		r.again = append(r.again, a.sales...)
	case !a.existing: // another session may be creating the customer
		r.blocked++
		r.suspect(a.sales[0])
		r.isolate(a.sales[0].WorkspaceID)
		a.existing = true
		r.todo = append(r.todo, a)
	default:
		r.markMissed(a.sales, customerLocked)
	}
}

// maxBlocked is how many blocked sales of a batch are found one by one, since each costs a wait for
// every halving. After that, the attempts with further ones go to the slow lane.
const maxBlocked = 3

// isolate moves a workspace's sales from the remaining attempts to another batch, unless these have
// no others.
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
		r.todo[i].sales = filter(a.sales, others)
	}
}

func (r *runner) markMissed(sales []*pendingSale, why miss) {
	for _, p := range sales {
		r.missed = append(r.missed, missed{p, why})
	}
}

// waitedForTable reports whether the statement waited for a lock on a whole table, which CREATE
// INDEX holds. For other locks, the error says where.
func waitedForTable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Where == ""
}

// halve runs the halves of the attempt, until only the rejected sale fails, with err.
func (r *runner) halve(a attempt, err error) {
	if len(a.sales) == 1 {
		r.suspect(a.sales[0]) // the next one like it should cost only its own workspace
		r.fail(a.sales[0], err)
		return
	}
	middle := len(a.sales) / 2
	r.todo = append(r.todo,
		attempt{sales: a.sales[middle:], existing: a.existing},
		attempt{sales: a.sales[:middle:middle], existing: a.existing})
}

// giveUp fails all sales because the database can record nothing at present.
func (r *runner) giveUp(a attempt, dropSession bool, err error) {
	err = postgres.SchemaError(err)
	if due(&r.notices.trouble) {
		r.options.Logger.Error("sales cannot be recorded", slog.Any("error", err))
	}
	if dropSession {
		r.session.drop()
	}
	for _, p := range a.sales {
		r.fail(p, notRecorded(err))
	}
}

// action is how the runner continues after a failed statement.
type action int

const (
	halve     action = iota // Postgres rejects one of the sales
	repeat                  // another transaction came first; the next try sees its changes
	stepAside               // the statement would have to wait for another session
	giveUp                  // Postgres can record nothing at present
	reconnect               // nothing was executed
	askAgain                // the outcome is unknown until the same IDs are sent again
)

// failure classifies a failed statement. Every action except askAgain implies that the statement
// wrote nothing.
type failure struct {
	action      action
	dropSession bool   // with giveUp: another connection may work
	class       string // label of hoko_sale_statement_failures_total: the SQLSTATE's class
}

var failureClasses = []string{"08", "22", "23", "25", "26", "40", "42", "53", "55", "other", "unsent"}

func classify(err error) failure {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && !fatal(pgErr) && !mayBeFromPooler(pgErr.Code):
		return classifyServerError(pgErr)
	case !ok && pgconn.SafeToRetry(err):
		return failure{action: reconnect, class: "unsent"}
	default:
		// The end of a session does not prove a rollback: a pooler in between may have sent it.
		return failure{action: askAgain, class: "08"}
	}
}

// mayBeFromPooler reports whether an error with this code may come from a pooler that has lost the
// server and keeps the client's session. Postgres uses some of these codes to end a session; none
// of them says what became of the statement.
func mayBeFromPooler(code string) bool {
	switch code {
	case pgerrcode.StatementCompletionUnknown, pgerrcode.SystemError, pgerrcode.AdminShutdown, pgerrcode.CrashShutdown,
		pgerrcode.CannotConnectNow, pgerrcode.DatabaseDropped, pgerrcode.IdleSessionTimeout:
		return true
	}
	return pgerrcode.IsConnectionException(code)
}

// classifyServerError classifies an error of the statement, which has therefore been rolled back.
func classifyServerError(pgErr *pgconn.PgError) failure {
	if postgres.StatementUnusable(pgErr) {
		return failure{action: reconnect, class: "26"}
	}
	code := pgErr.Code
	switch code {
	case pgerrcode.LockNotAvailable:
		return failure{action: stepAside, class: "55"}
	case pgerrcode.UniqueViolation, pgerrcode.ExclusionViolation, pgerrcode.ForeignKeyViolation: // the race may be over
		return failure{action: repeat, class: "23"}
	case pgerrcode.ReadOnlySQLTransaction: // the server is now a standby
		return failure{action: giveUp, dropSession: true, class: "25"}
	case pgerrcode.InsufficientPrivilege, pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn,
		pgerrcode.InvalidSchemaName:
		return failure{action: giveUp, dropSession: true, class: "42"}
	}
	// By class, so that future codes are covered.
	switch class := code[:min(2, len(code))]; class {
	case pgerrcode.TransactionRollback[:2]:
		return failure{action: repeat, class: "40"}
	case pgerrcode.InsufficientResources[:2], pgerrcode.OperatorIntervention[:2], // includes statement_timeout
		pgerrcode.SystemError[:2]:
		return failure{action: giveUp, class: "53"}
	case pgerrcode.DataException[:2], pgerrcode.IntegrityConstraintViolation[:2]:
		return failure{action: halve, class: class}
	}
	return failure{action: halve, class: "other"}
}

// blocked reports whether a lock on a table, or a statement_timeout during the wait for it, kept a
// session from being prepared. Another connection would not help.
func blocked(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == pgerrcode.LockNotAvailable || pgErr.Code == pgerrcode.QueryCanceled)
}

func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" ||
		e.Severity == "FATAL" || e.Severity == "PANIC"
}

const keysTable = "idempotency_keys"

// splitConflicting separates the sales with an idempotency key in the workspace whose key err names
// as a duplicate. It returns no conflicting sales if err is about something else or names none of
// their keys.
func splitConflicting(sales []*pendingSale, err error) (conflicting, others []*pendingSale) {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.TableName != keysTable {
		return nil, sales
	}
	// In every language, the first ")=(" separates names and values. A key may contain another.
	_, duplicate, _ := strings.Cut(pgErr.Detail, ")=(")
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

// rename gives a sale a new ID because another workspace has a sale with its ID. That also proves
// that no earlier statement recorded it.
func (r *runner) rename(p *pendingSale) {
	id, err := uuid.NewV7()
	if err != nil {
		r.fail(p, notRecorded(err))
		return
	}
	p.id, p.unknown = id, false
	p.setReported(id)
	r.miss(p, customerBusy)
}
