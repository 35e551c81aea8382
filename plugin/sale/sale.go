// Package sale decodes and validates POST /api/track/sale (Decode), records each sale exactly once
// in a Store (Recorder), and renders the response (AppendResponse). Handler combines them for
// net/http. The rules are in docs/api.md.
package sale

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Request is a decoded and valid POST /api/track/sale with defaults filled in.
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

// Optional is a tri-state member: absent keeps the stored value, null clears it, a string replaces
// it.
type Optional struct {
	Given bool    // the member is present
	Value *string // nil clears
}

// Sale is a request on its way to the store.
type Sale struct {
	ID          uuid.UUID // UUIDv7, made at the edge, so that it can ask for an unknown outcome again
	WorkspaceID string
	Request     *Request
	// IdempotencyKey is "" if the caller sent none.
	IdempotencyKey string
	// Fingerprint of Request, stored with the idempotency key.
	Fingerprint [32]byte
}

// Attribution is the rule that attributed a sale (the Hoko-Attribution header).
type Attribution string

// The attributions in the order in which they are tried.
const (
	LeadEvent  Attribution = "lead-event"
	Click      Attribution = "click"
	LatestLead Attribution = "latest-lead"
)

// Recorded is a committed sale as returned to the caller.
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
	// Replayed is true if an earlier request with this idempotency key recorded it.
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

// Customer is the customer as the sale left it.
type Customer struct {
	ID, Name             string
	Email, Phone, Avatar *string
	ExternalID           string
}
