// Package sale says what is recorded: it decodes and validates
// POST /api/track/sale (Decode), records each sale exactly once in a Store
// (Recorder) and renders the answer (AppendResponse). Handler is all of it for
// net/http. The rules are those of docs/api.md.
package sale

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Request is a decoded and valid POST /api/track/sale, defaults filled in.
type Request struct {
	CustomerExternalID string
	Amount             int64  // in the currency's minor unit, 0 … 2^53−1
	Currency           string // three lower-case letters
	EventName          string
	Metadata           []byte // compact JSON as it was sent; nil where there is none
	LeadEventName      string // "" is not given
	ClickID            string // "" is not given
	CustomerName       string
	CustomerEmail      Optional
	CustomerAvatar     Optional
}

// Optional is a tri-state member: absent keeps what is stored, null clears it,
// a string replaces it.
type Optional struct {
	Given bool    // the member is present
	Value *string // nil clears
}

// Sale is a request on its way to the store.
type Sale struct {
	ID          uuid.UUID // UUIDv7, made at the edge, so that an unknown outcome can be asked for again
	WorkspaceID string
	Request     *Request
	// IdempotencyKey is "" where the caller sent none.
	IdempotencyKey string
	// Fingerprint of Request, kept beside the idempotency key.
	Fingerprint [32]byte
}

// Attribution says what earned a sale (the Hoko-Attribution header).
type Attribution string

// The three attributions, in the order in which they are tried.
const (
	LeadEvent  Attribution = "lead-event"
	Click      Attribution = "click"
	LatestLead Attribution = "latest-lead"
)

// Recorded is a committed sale as it is answered.
type Recorded struct {
	SaleID      uuid.UUID
	Attribution Attribution
	ClickID     *string
	Link        Link
	Customer    Customer
	Amount      int64
	Currency    string
	EventName   string
	Metadata    []byte // compact JSON, nil for null
	// Replayed: an earlier request with this idempotency key recorded it.
	Replayed bool
}

// Link is the short link that earned the sale.
type Link struct {
	ID, URL, ShortURL         string
	Title, Description, Image *string
	UTM                       json.RawMessage // as stored; nil for null
	CollectionID, PartnerID   *string
	TenantID, ExternalID      *string
	CreatedAt                 time.Time
}

// Customer as the sale left it.
type Customer struct {
	ID, Name             string
	Email, Phone, Avatar *string
	ExternalID           string
}
