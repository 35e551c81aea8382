package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fate is what becomes of a sale, sooner or later, whatever fails.
type fate int

const (
	toBeRecorded fate = iota
	unattributed      // 400: nothing earns it
	malformed         // 400
	mismatched        // 422: its idempotency key is another sale's
)

// sale is a sale as the client that wants it knows it: what it sends, and all that it was told.
type sale struct {
	id     string // in the metadata, and in no other sale's
	key    string // its Idempotency-Key; "" where it has none, and is then sent once
	tenant *tenant
	fate   fate
	earner earner // what it is attributed to

	customer, version string // the version is in the customer's name, e-mail and avatar
	amount            int64
	currency, event   string

	mu       sync.Mutex
	attempts []*attempt
}

// earner is what a sale asks to be attributed to, and what it must be attributed to.
type earner struct {
	leadEvent, click string // as sent
	attribution      string // as answered and stored
	clickID, leadID  string // as stored; "" for null
}

// attempt is one request, sent once, and its answer.
type attempt struct {
	edge       string
	protocol   string
	start, end time.Time

	err     error // no answer came
	unsent  bool  // as not even a connection did
	status  int
	body    string
	saleID  string
	earned  string        // Hoko-Attribution
	replied bool          // Idempotency-Replayed
	wait    time.Duration // Retry-After
}

// begin notes an attempt before it is sent.
func (s *sale) begin(edge, protocol string) (a *attempt, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &attempt{edge: edge, protocol: protocol, start: time.Now()}
	s.attempts = append(s.attempts, a)
	return a, s.request(len(s.attempts) - 1)
}

// end notes what came of it.
func (s *sale) end(a *attempt, answer func(*attempt)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(a)
	a.end = time.Now()
}

// metadata of an attempt: those of one idempotency key are one request, the others each their own.
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
		"leadEventName":      s.earner.leadEvent,
		"clickId":            s.earner.click,
	}
	if s.fate == malformed {
		members["amount"] = -1 - s.amount
	}
	body, err := json.Marshal(members)
	if err != nil {
		panic(err) // of strings and numbers
	}
	return string(body)
}

// The three fields of a customer that belong together.
func nameOf(version string) string   { return "Customer " + version }
func emailOf(version string) string  { return version + "@customers.example.com" }
func avatarOf(version string) string { return "https://customers.example.com/" + version + ".png" }

// unknown is true of an attempt that may have recorded the sale.
func (a *attempt) unknown() bool {
	return !a.unsent && (a.status == 0 || a.status == http.StatusGatewayTimeout)
}

func (a *attempt) recorded() bool { return a.status == http.StatusCreated }

// absent is true of an attempt that certainly recorded nothing.
func (a *attempt) absent() bool { return !a.unknown() && !a.recorded() }

// final is true of an answer that another try would only repeat.
func (a *attempt) final() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return a.recorded() || a.status >= 400 && a.status < 500
}

// settled is true of a sale whose client knows what became of it.
func (s *sale) settled() bool {
	for _, a := range s.tries() {
		if a.final() {
			return true
		}
	}
	return false
}

// mayExist is false of a sale that was recorded by none of its attempts.
func (s *sale) mayExist() bool {
	for _, a := range s.tries() {
		if !a.absent() {
			return true
		}
	}
	return false
}

// answers are the attempts that were told that the sale is recorded.
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

// String is the whole journal of the sale.
func (s *sale) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "sale %s of %s, Idempotency-Key %q: %s\n", s.id, s.tenant.workspace, s.key, s.request(0))
	for i, a := range s.tries() {
		fmt.Fprintf(&text, "\t%d: %s, %s over %s, %v: ", i, a.start.Format("15:04:05.000"), a.edge, a.protocol, a.end.Sub(a.start).Round(time.Millisecond))
		if a.err != nil {
			fmt.Fprintf(&text, "%v (unsent: %v)\n", a.err, a.unsent)
			continue
		}
		fmt.Fprintf(&text, "%d %s sale %q by %q replayed %v\n", a.status, a.body, a.saleID, a.earned, a.replied)
	}
	return text.String()
}
