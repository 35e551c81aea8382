package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

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
	case "55P03": // lock_not_available
		return verdict{do: stepAside, class: "55"}
	case "23505": // unique_violation
		return verdict{do: repeat, class: "23"}
	case "25006": // read_only_sql_transaction: a standby by now
		return verdict{do: giveUp, dropSession: true, class: "25"}
	case "26000": // invalid_sql_statement_name: the prepared statement is gone (a pooler)
		return verdict{do: reconnect, class: "26"}
	case "0A000": // feature_not_supported, which one sale's characters may be, or
		if refusal.Routine == columnsChanged {
			return verdict{do: reconnect, class: "26"}
		}
	case "42501", "42P01", "42703", "3F000": // no privilege, table, column, schema
		return verdict{do: giveUp, dropSession: true, class: "42"}
	}
	switch code[:min(2, len(code))] {
	case "40": // serialization_failure, deadlock_detected
		return verdict{do: repeat, class: "40"}
	case "08", "53", "57", "58": // connection, resources, intervention (statement_timeout), system
		return verdict{do: giveUp, class: "53"}
	case "22", "23": // the data, a constraint
		return verdict{do: halve, class: code[:2]}
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
