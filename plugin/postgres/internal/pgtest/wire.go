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

// Wire is a relay between an edge and Postgres that can change messages. It stalls until Resume.
type Wire struct {
	*relay.Relay
	DSN string // connects through the wire

	// Refuses returns why the wire refuses a connection with these startup parameters, or "".
	Refuses func(parameters map[string]string) string
	// OnParse is called with each statement that a session parses.
	OnParse func(parameters map[string]string, statement string)
	// Delivers reports whether to pass a notification on.
	Delivers func() bool

	plan atomic.Pointer[Cut] // for the next sale statement
}

// Cut is what happens to one sale statement.
type Cut struct {
	Before bool // before the statement reaches the server, not after it has committed
	Stall  bool // the connection stays open but stalls
	// ErrorCode is the SQLSTATE of an ERROR that the client receives as the answer. It keeps the
	// connection, as behind a pooler.
	ErrorCode string
	done      chan struct{} // closed when it has happened
}

// Tap opens a wire to the database of dsn, which closes at the end of the test.
func Tap(t testing.TB, dsn string) *Wire {
	t.Helper()
	w := new(Wire)
	w.Relay, w.DSN = testenv.Relay(t, dsn)
	w.Answer, w.Filters = w.refuse, w.filters
	w.Stall(relay.ToServer)
	w.Stall(relay.ToClient)
	testenv.NoError(t, w.Open())
	return w
}

// Working resumes the wire and returns it.
func (w *Wire) Working() *Wire {
	w.Resume()
	return w
}

// Next sets what happens to the next sale statement. The channel is closed when it has happened.
func (w *Wire) Next(plan Cut) <-chan struct{} {
	plan.done = make(chan struct{})
	w.plan.Store(&plan)
	return plan.done
}

// refuse returns the answer to a refused startup message, or nil.
func (w *Wire) refuse(hello []byte) []byte {
	parameters := startupParameters(hello)
	if w.Refuses == nil || parameters == nil {
		return nil
	}
	if reason := w.Refuses(parameters); reason != "" {
		return errorResponse("FATAL", pgerrcode.ProtocolViolation, reason)
	}
	return nil
}

func errorResponse(severity, code, message string) []byte {
	response := pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: code, Message: message,
	}
	encoded, _ := response.Encode(nil)
	return encoded
}

// filters returns the filters of one connection.
func (w *Wire) filters(hello []byte) (toServer, toClient relay.Filter) {
	parameters := startupParameters(hello)
	stalled := false
	var lost atomic.Pointer[Cut] // the plan whose statement's answer is lost
	toServer = eachMessage(func(kind byte, body []byte, hangUp func()) (passes bool) {
		if kind == 'P' && w.OnParse != nil {
			_, statement, _ := bytes.Cut(body, []byte{0}) // the name comes first
			statement, _, _ = bytes.Cut(statement, []byte{0})
			w.OnParse(parameters, string(statement))
		}
		if kind == 'B' && bytes.HasPrefix(body, []byte("\x00hoko_sale")) {
			if plan := w.plan.Swap(nil); plan != nil && plan.Before {
				stalled = true
				plan.happen(hangUp)
			} else {
				lost.Store(plan)
			}
		}
		return !stalled
	}, nil)
	toClient = eachMessage(func(kind byte, _ []byte, hangUp func()) (passes bool) {
		if kind == 'A' && w.Delivers != nil {
			return w.Delivers()
		}
		plan := lost.Load()
		if plan != nil && kind == 'Z' { // ReadyForQuery: the statement has committed
			plan.happen(hangUp)
			return plan.ErrorCode != ""
		}
		return plan == nil
	}, func(kind byte) (before []byte) {
		plan := lost.Load()
		if plan == nil || plan.ErrorCode == "" || kind != 'Z' {
			return nil
		}
		lost.Store(nil)
		return errorResponse("ERROR", plan.ErrorCode, "server connection lost")
	})
	return toServer, toClient
}

func (c *Cut) happen(hangUp func()) {
	if !c.Stall && c.ErrorCode == "" {
		hangUp()
	}
	close(c.done)
}

// eachMessage returns a filter that drops the messages for which pass returns false. If insert is
// not nil, the filter inserts what it returns before each other message.
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

// startupParameters returns the parameters of a startup message, or nil for a cancel request.
func startupParameters(message []byte) map[string]string {
	var startup pgproto3.StartupMessage
	if len(message) < 4 || startup.Decode(message[4:]) != nil {
		return nil
	}
	return startup.Parameters
}
