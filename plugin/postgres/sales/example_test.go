package sales_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

func Example() {
	ctx := context.Background()
	store, err := sales.NewStore(postgres.Options{DSN: os.Getenv("DATABASE_URL")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close(ctx) // waits until all accepted sales are answered
	recorder, err := sale.NewRecorder(store, sale.RecorderOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}

	request, err := sale.Decode([]byte(`{"customerExternalId":"customer_123","customerName":"Ada","amount":12900}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	recorded, err := recorder.Record(ctx, "ws_1", request, "invoice-42")
	unknown, isUnknown := errors.AsType[*sale.UnknownOutcomeError](err)
	switch {
	case err == nil:
		fmt.Println("recorded as", recorded.SaleID)
	case errors.Is(err, sale.ErrNotRecorded):
		fmt.Println("nothing was written; try again")
	case isUnknown:
		fmt.Println("unknown; try again with the same idempotency key to learn about", unknown.SaleID)
	default:
		fmt.Println(err)
	}
}
