package sale

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

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
