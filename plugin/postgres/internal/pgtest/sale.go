package pgtest

import (
	"testing"

	"github.com/google/uuid"
	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// sell is a sale by click c1 to a customer named like its id.
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

func Keyed(key string) func(*sale.Sale)     { return func(s *sale.Sale) { s.IdempotencyKey = key } }
func Named(name string) func(*sale.Sale)    { return func(s *sale.Sale) { s.Request.CustomerName = name } }
func Costing(amount int64) func(*sale.Sale) { return func(s *sale.Sale) { s.Request.Amount = amount } }
func ByClick(id string) func(*sale.Sale)    { return func(s *sale.Sale) { s.Request.ClickID = id } }
func ByLead(event string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.LeadEventName = event }
}
func InWorkspace(id string) func(*sale.Sale) { return func(s *sale.Sale) { s.WorkspaceID = id } }
func As(id uuid.UUID) func(*sale.Sale)       { return func(s *sale.Sale) { s.ID = id } }
func Noting(metadata string) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.Metadata = []byte(metadata) }
}

func Mailing(email sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerEmail = email }
}

func Pictured(avatar sale.Optional) func(*sale.Sale) {
	return func(s *sale.Sale) { s.Request.CustomerAvatar = avatar }
}

var (
	Keep  = sale.Optional{}
	Clear = sale.Optional{Given: true}
)

func Set(text string) sale.Optional { return sale.Optional{Given: true, Value: &text} }

// mustRecord fails the test where the sale is not recorded.
func MustRecord(t testing.TB, store *sales.Store, s *sale.Sale) *sale.Recorded {
	t.Helper()
	recorded, err := store.Record(testenv.Guarded(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}
