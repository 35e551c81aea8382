package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fate is the outcome that a sale must have in the end, whatever fails.
type fate int

const (
	toBeRecorded fate = iota
	unattributed      // 400: no lead or click to attribute it to
	malformed         // 400
	mismatched        // 422: its idempotency key belongs to another sale
)

// sale is a sale as its client knows it: what it sent, and what it was told.
type sale struct {
	id        string // in the metadata; unique
	key       string // Idempotency-Key; "" for none
	workspace *workspace
	fate      fate
	source    source // attribution

	customer, version string // the version determines name, email and avatar
	amount            int64
	currency, event   string

	mu       sync.Mutex
	attempts []*attempt
}

// source is the attribution that a sale asks for and the one that it must get.
type source struct {
	leadEvent, click string // as sent
	attribution      string // as answered and stored
	clickID, leadID  string // as stored; "" for null
}

// attempt is one request, sent once, and its answer.
type attempt struct {
	edge       string
	protocol   string
	start, end time.Time

	err         error // of a request without an answer
	unsent      bool  // no connection was established
	status      int
	body        string
	saleID      string
	attribution string        // Hoko-Attribution
	replied     bool          // Idempotency-Replayed
	wait        time.Duration // Retry-After
}

func (s *sale) begin(edge, protocol string) (a *attempt, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &attempt{edge: edge, protocol: protocol, start: time.Now()}
	s.attempts = append(s.attempts, a)
	return a, s.request(len(s.attempts) - 1)
}

func (s *sale) end(a *attempt, answer func(*attempt)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(a)
	a.end = time.Now()
}

// metadata differs between attempts only if the sale has no idempotency key.
func (s *sale) metadata(attempt int) string {
	if s.key != "" {
		attempt = 0
	}
	return fmt.Sprintf(`{"journal":%q,"attempt":%d}`, s.id, attempt)
}

func (s *sale) request(attempt int) string {
	members := map[string]any{
		"customerExternalId": s.customer,
		"customerName":       nameOf(s.version),
		"customerEmail":      emailOf(s.version),
		"customerAvatar":     avatarOf(s.version),
		"amount":             s.amount,
		"currency":           strings.ToUpper(s.currency),
		"eventName":          s.event,
		"metadata":           json.RawMessage(s.metadata(attempt)),
		"leadEventName":      s.source.leadEvent,
		"clickId":            s.source.click,
	}
	if s.fate == malformed {
		members["amount"] = -1 - s.amount
	}
	body, err := json.Marshal(members)
	if err != nil {
		panic(err) // cannot happen with strings and numbers
	}
	return string(body)
}

// The fields of a customer that must change together.
func nameOf(version string) string   { return "Customer " + version }
func emailOf(version string) string  { return version + "@customers.example.com" }
func avatarOf(version string) string { return "https://customers.example.com/" + version + ".png" }

// unknown reports whether the attempt may have recorded the sale.
func (a *attempt) unknown() bool {
	return !a.unsent && (a.status == 0 || a.status == http.StatusGatewayTimeout)
}

func (a *attempt) recorded() bool { return a.status == http.StatusCreated }

// absent reports whether the attempt certainly recorded nothing.
func (a *attempt) absent() bool { return !a.unknown() && !a.recorded() }

// final reports whether another attempt would get the same answer.
func (a *attempt) final() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return a.recorded() || a.status >= 400 && a.status < 500
}

// resolved reports whether the client knows the outcome.
func (s *sale) resolved() bool {
	for _, a := range s.tries() {
		if a.final() {
			return true
		}
	}
	return false
}

// mayExist reports whether any attempt recorded the sale or may have.
func (s *sale) mayExist() bool {
	for _, a := range s.tries() {
		if !a.absent() {
			return true
		}
	}
	return false
}

// answers returns the attempts that were answered 201.
func (s *sale) answers() []*attempt {
	var answers []*attempt
	for _, a := range s.tries() {
		if a.recorded() {
			answers = append(answers, a)
		}
	}
	return answers
}

func (s *sale) tries() []*attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// String returns the whole journal of the sale.
func (s *sale) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "sale %s of %s, Idempotency-Key %q: %s\n", s.id, s.workspace.id, s.key, s.request(0))
	for i, a := range s.tries() {
		fmt.Fprintf(&text, "\t%d: %s, %s over %s, %v: ", i, a.start.Format("15:04:05.000"), a.edge, a.protocol,
			a.end.Sub(a.start).Round(time.Millisecond))
		if a.err != nil {
			fmt.Fprintf(&text, "%v (unsent: %v)\n", a.err, a.unsent)
			continue
		}
		fmt.Fprintf(&text, "%d %s sale %q by %q replayed %v\n", a.status, a.body, a.saleID, a.attribution, a.replied)
	}
	return text.String()
}
