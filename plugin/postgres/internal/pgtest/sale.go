package pgtest

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// Change alters a sale that [Sell] returns.
type Change = func(*sale.Sale)

// Sell returns a sale in workspace w1 through click c1 to a customer with this external ID and
// name.
func Sell(customer string, changes ...Change) *sale.Sale {
	s := &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: "w1",
		Request: &sale.Request{
			CustomerExternalID: customer, CustomerName: customer,
			Amount: 100, Currency: "usd", EventName: "Purchase", ClickID: "c1",
		},
	}
	for _, change := range changes {
		change(s)
	}
	if s.IdempotencyKey != "" {
		s.Fingerprint = s.Request.Fingerprint()
	}
	return s
}

func WithKey(key string) Change      { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func WithName(name string) Change    { return func(s *sale.Sale) { s.Request.CustomerName = name } }
func WithAmount(amount int64) Change { return func(s *sale.Sale) { s.Request.Amount = amount } }
func WithID(id uuid.UUID) Change     { return func(s *sale.Sale) { s.ID = id } }
func WithMetadata(json string) Change {
	return func(s *sale.Sale) { s.Request.Metadata = []byte(json) }
}
func InWorkspace(id string) Change { return func(s *sale.Sale) { s.WorkspaceID = id } }
func ByClick(id string) Change     { return func(s *sale.Sale) { s.Request.ClickID = id } }
func ByLead(event string) Change   { return func(s *sale.Sale) { s.Request.LeadEventName = event } }
func WithEmail(email sale.Optional) Change {
	return func(s *sale.Sale) { s.Request.CustomerEmail = email }
}
func WithAvatar(url sale.Optional) Change {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = url }
}

// Keep, Clear and Set are the values of an optional member: missing, null and text.
var (
	Keep  = sale.Optional{}
	Clear = sale.Optional{Given: true}
)

func Set(text string) sale.Optional { return sale.Optional{Given: true, Value: &text} }

// MustRecord records a sale. It ends the test if that fails.
func MustRecord(t testing.TB, store *sales.Store, s *sale.Sale) *sale.Recorded {
	t.Helper()
	recorded, err := store.Record(testenv.Guarded(t), s)
	testenv.NoError(t, err)
	return recorded
}

// IsUnknown reports whether a sale's outcome is unknown.
func IsUnknown(err error) bool {
	_, unknown := errors.AsType[*sale.UnknownOutcomeError](err)
	return unknown
}

// Text formats a nullable text for people.
func Text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// Statements returns how many statements a store with these metrics has executed, and how many
// sales they contained.
func Statements(t testing.TB, r *prometheus.Registry) (count uint64, sales float64) {
	t.Helper()
	families, err := r.Gather()
	testenv.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "hoko_sale_batch_size" {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatal("no metric hoko_sale_batch_size")
	return 0, 0
}
