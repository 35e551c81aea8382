package sale

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// What recording can end with besides a committed sale. Each may be wrapped
// around its cause; any other error says that the database refused this sale
// and that nothing was written.
var (
	// ErrUnattributed: nothing attributes the sale; nothing was written.
	ErrUnattributed = errors.New("nothing attributes the sale")
	// ErrIdempotencyMismatch: the idempotency key belongs to a different request; nothing was written.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with a different request")
	// ErrNotRecorded: nothing was written and nothing will be; the caller may safely try again.
	ErrNotRecorded = errors.New("sale was not recorded")
	// ErrOutcomeUnknown: the sale may or may not be, or become, recorded.
	ErrOutcomeUnknown = errors.New("outcome of the sale is unknown")
)

// Store records sales.
type Store interface {
	// Record commits the sale and returns it as committed, or one of the errors
	// above: an unknown outcome as an *UnknownOutcomeError where the id to name
	// is not the sale's own. It returns by ctx's deadline; a sale that has been
	// sent to the database is not aborted by it.
	Record(ctx context.Context, s *Sale) (*Recorded, error)
}

// UnknownOutcomeError is the Recorder's ErrOutcomeUnknown: it names the sale
// that may have been recorded.
type UnknownOutcomeError struct {
	SaleID uuid.UUID
	Cause  error // wraps ErrOutcomeUnknown
}

// Error names the sale and tells the cause.
func (e *UnknownOutcomeError) Error() string {
	return "sale " + e.SaleID.String() + ": " + e.Cause.Error()
}

// Unwrap is the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }
