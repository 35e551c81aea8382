package pgtest

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgproto3"

	"hoko.to/edge/internal/relay"
	"hoko.to/edge/internal/testenv"
)

// Wire is a relay between an edge and its Postgres that knows the messages it passes on. It is silent
// until Speak.
type Wire struct {
	*relay.Relay
	DSN string // what an edge uses

	// Refuses returns what is wrong with a startup message's parameters; "" is nothing.
	Refuses func(parameters map[string]string) string
	// Hears is called with each statement that a session has parsed.
	Hears func(parameters map[string]string, statement string)
	// Notifies reports whether a notification passes.
	Notifies func() bool

	plan atomic.Pointer[Cut] // of what happens to the next statement
}

// Cut is what happens to one statement.
type Cut struct {
	Before bool          // before it reaches the server; else after it has committed
	Mute   bool          // the connection stays open but carries nothing any more
	Says   string        // the answer is an ERROR with this SQLSTATE, and the connection goes on, as a pooler's may
	done   chan struct{} // closed when it has happened
}

// Tap opens a wire to the database of dsn, which closes with the test.
func Tap(t testing.TB, dsn string) *Wire {
	t.Helper()
	w := new(Wire)
	w.Relay, w.DSN = testenv.Relay(t, dsn)
	w.Answer, w.Filters = w.refuse, w.filters
	w.Stall(relay.ToServer)
	w.Stall(relay.ToClient)
	if err := w.Open(); err != nil {
		t.Fatal(err)
	}
	return w
}

// Working returns the wire, which speaks from now on.
func (w *Wire) Working() *Wire {
	w.Resume()
	return w
}

// Next plans what happens to the next statement, and returns what is closed when it has.
func (w *Wire) Next(plan Cut) <-chan struct{} {
	plan.done = make(chan struct{})
	w.plan.Store(&plan)
	return plan.done
}

// refuse answers a startup message whose parameters are wrong.
func (w *Wire) refuse(hello []byte) []byte {
	parameters := startupParameters(hello)
	if w.Refuses == nil || parameters == nil {
		return nil
	}
	wrong := w.Refuses(parameters)
	if wrong == "" {
		return nil
	}
	refusal := pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: pgerrcode.ProtocolViolation, Message: wrong}
	answer, _ := refusal.Encode(nil)
	return answer
}

// filters are those of one connection.
func (w *Wire) filters(hello []byte) (toServer, toClient relay.Filter) {
	parameters := startupParameters(hello)
	silent := false
	var lost atomic.Pointer[Cut] // the plan whose statement's answer is lost
	toServer = eachMessage(func(kind byte, body []byte, hangUp func()) (passes bool) {
		if kind == 'P' && w.Hears != nil {
			_, statement, _ := bytes.Cut(body, []byte{0}) // after its name
			statement, _, _ = bytes.Cut(statement, []byte{0})
			w.Hears(parameters, string(statement))
		}
		if kind == 'B' && bytes.HasPrefix(body, []byte("\x00hoko_sale")) {
			if plan := w.plan.Swap(nil); plan != nil && plan.Before {
				silent = true
				plan.happen(hangUp)
			} else {
				lost.Store(plan)
			}
		}
		return !silent
	}, nil)
	toClient = eachMessage(func(kind byte, _ []byte, hangUp func()) (passes bool) {
		if kind == 'A' && w.Notifies != nil {
			return w.Notifies()
		}
		plan := lost.Load()
		if plan != nil && kind == 'Z' { // ready for query: it has committed
			plan.happen(hangUp)
			return plan.Says != ""
		}
		return plan == nil
	}, func(kind byte) (before []byte) {
		plan := lost.Load()
		if plan == nil || plan.Says == "" || kind != 'Z' {
			return nil
		}
		lost.Store(nil)
		answer := pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: plan.Says, Message: "server connection lost"}
		before, _ = answer.Encode(nil)
		return before
	})
	return toServer, toClient
}

func (c *Cut) happen(hangUp func()) {
	if !c.Mute && c.Says == "" {
		hangUp()
	}
	close(c.done)
}

// eachMessage returns a filter that passes on those messages of a session that pass, and before them what insert, unless
// it is nil, returns.
func eachMessage(pass func(kind byte, body []byte, hangUp func()) bool, insert func(kind byte) []byte) relay.Filter {
	var received []byte
	return func(data []byte, hangUp func()) (passed []byte) {
		received = append(received, data...)
		for len(received) >= 5 {
			size := 1 + int(binary.BigEndian.Uint32(received[1:]))
			if len(received) < size {
				break
			}
			if pass(received[0], received[5:size], hangUp) {
				if insert != nil {
					passed = append(passed, insert(received[0])...)
				}
				passed = append(passed, received[:size]...)
			}
			received = received[size:]
		}
		return passed
	}
}

// startupParameters returns those of a connection's first message, nil if it is a request to cancel.
func startupParameters(message []byte) map[string]string {
	var startup pgproto3.StartupMessage
	if len(message) < 4 || startup.Decode(message[4:]) != nil {
		return nil
	}
	return startup.Parameters
}
