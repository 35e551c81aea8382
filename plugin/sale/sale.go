// Package sale decodes and validates POST /api/track/sale (Decode), records each sale exactly once
// in a Store (Recorder), and renders the response (AppendResponse). Handler combines them for
// net/http. The rules are in docs/api.md.
package sale

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/tracing"
)

// Request is a valid body of POST /api/track/sale with defaults filled in.
type Request struct {
	CustomerExternalID string
	Amount             int64  // in the currency's minor unit, 0 … 2^53−1
	Currency           string // three lowercase letters
	EventName          string
	Metadata           []byte // compact JSON as sent; nil if there is none
	LeadEventName      string // "" if not given
	ClickID            string // "" if not given
	CustomerName       string
	CustomerEmail      Optional
	CustomerAvatar     Optional
}

// Optional is a member that keeps the stored value if absent, clears it if null, and otherwise
// replaces it.
type Optional struct {
	Given bool    // the member is present
	Value *string // nil clears
}

// Sale is a request to be recorded by a Store.
type Sale struct {
	ID             uuid.UUID // UUIDv7 from the edge, which can look up an unknown outcome by it
	WorkspaceID    string
	Request        *Request
	IdempotencyKey string   // "" if the client sent none
	Fingerprint    [32]byte // of Request; zero if there is no IdempotencyKey

	Timing *Timing // the Store fills it in before Record returns, unless it is nil
}

// Timing is what the time of a call of Store.Record went into.
type Timing struct {
	Queue  time.Duration // until the sale was first sent to the database
	Commit time.Duration // from then until its answer

	Statement tracing.Span // the statement that led to the answer, zero if it is not traced
}

// Attribution is the rule that attributed a sale, as in the Hoko-Attribution header.
type Attribution string

// The attributions, in the order in which the rules are tried.
const (
	LeadEvent  Attribution = "lead-event"
	Click      Attribution = "click"
	LatestLead Attribution = "latest-lead"
)

// Recorded is a committed sale with the content of its response.
type Recorded struct {
	SaleID      uuid.UUID
	Attribution Attribution
	ClickID     *string // nil if the lead has no click
	Link        Link
	Customer    Customer
	Amount      int64 // in the currency's minor unit
	Currency    string
	EventName   string
	Metadata    []byte // compact JSON; nil for null
	Replayed    bool   // an earlier request with this idempotency key recorded it
}

// Link is the short link that the sale is attributed to. A nil member is null in the response.
type Link struct {
	ID, URL, ShortURL         string
	Title, Description, Image *string
	UTM                       json.RawMessage // as stored; nil for SQL NULL
	CollectionID, PartnerID   *string
	TenantID, ExternalID      *string
	CreatedAt                 time.Time
}

// Customer is the customer after the sale. A nil member is null in the response.
type Customer struct {
	ID, Name             string
	Email, Phone, Avatar *string
	ExternalID           string
}
