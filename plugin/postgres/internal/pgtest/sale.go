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

// Sell returns a sale by click c1 to a customer named like its id.
func Sell(customer string, change ...func(*sale.Sale)) *sale.Sale {
	s := &sale.Sale{
		ID:          uuid.Must(uuid.NewV7()),
		WorkspaceID: "w1",
		Request: &sale.Request{
			CustomerExternalID: customer, CustomerName: customer,
			Amount: 100, Currency: "usd", EventName: "Purchase", ClickID: "c1",
		},
	}
	for _, c := range change {
		c(s)
	}
	if s.IdempotencyKey != "" {
		s.Fingerprint = s.Request.Fingerprint()
	}
	return s
}

// The changes of a sale that tests ask for.
func WithKey(key string) func(*sale.Sale) { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func WithName(name string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerName = name }
}
func WithAmount(amount int64) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.Amount = amount }
}
func ByClick(id string) func(*sale.Sale) { return func(s *sale.Sale) { s.Request.ClickID = id } }
func ByLead(event string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.LeadEventName = event }
}
func InWorkspace(id string) func(*sale.Sale) { return func(s *sale.Sale) { s.WorkspaceID = id } }
func WithID(id uuid.UUID) func(*sale.Sale)   { return func(s *sale.Sale) { s.ID = id } }
func WithMetadata(metadata string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.Metadata = []byte(metadata) }
}

func WithEmail(email sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerEmail = email }
}

func WithAvatar(avatar sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = avatar }
}

var (
	Keep  = sale.Optional{}
	Clear = sale.Optional{Given: true}
)

func Set(text string) sale.Optional { return sale.Optional{Given: true, Value: &text} }

// MustRecord records a sale and fails the test if it is not recorded.
func MustRecord(t testing.TB, store *sales.Store, s *sale.Sale) *sale.Recorded {
	t.Helper()
	recorded, err := store.Record(testenv.Guarded(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}

// IsUnknown reports whether a sale's outcome is unknown.
func IsUnknown(err error) bool {
	_, unknown := errors.AsType[*sale.UnknownOutcomeError](err)
	return unknown
}

// Text returns a nullable text for people to read.
func Text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// Statements returns how many statements a store with these metrics has executed, and how many sales were in them.
func Statements(t testing.TB, r *prometheus.Registry) (count uint64, sales float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "hoko_sale_batch_size" {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatal("no batch size")
	return 0, 0
}
