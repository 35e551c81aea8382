package sale_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"hoko.to/edge/plugin/apikey"
	"hoko.to/edge/plugin/sale"
)

func ExampleDecode() {
	request, err := sale.Decode([]byte(`{
		"customerExternalId": "customer_123",
		"customerName": "Ada",
		"amount": 1.29e4,
		"customerEmail": null
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(request.Amount, request.Currency, request.EventName)
	fmt.Println("clear the e-mail address:", request.CustomerEmail.Given && request.CustomerEmail.Value == nil)

	_, err = sale.Decode([]byte(`{"customerExternalId":"customer_123","customerName":"Ada","amount":-1}`))
	fmt.Println(err)
	// Output:
	// 12900 usd Purchase
	// clear the e-mail address: true
	// amount: must be a non-negative integer
}

// noLeads is a Store in which nothing attributes a sale. The edge uses that of
// plugin/postgres/sales.
type noLeads struct{}

func (noLeads) Record(context.Context, *sale.Sale) (*sale.Recorded, error) {
	return nil, sale.ErrUnattributed
}

func ExampleHandler() {
	recorder, err := sale.NewRecorder(noLeads{}, sale.RecorderOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler, err := sale.NewHandler(sale.HandlerOptions{Recorder: recorder})
	if err != nil {
		fmt.Println(err)
		return
	}

	// An earlier handler has verified the key.
	key := &apikey.Key{ID: "key_1", WorkspaceID: "ws_1", Scopes: apikey.ScopesOf([]string{"conversionsWrite"})}
	body := `{"customerExternalId":"customer_123","customerName":"Ada","amount":12900}`
	r := httptest.NewRequest(http.MethodPost, "/api/track/sale", strings.NewReader(body))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), key)))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 400 {"error":{"en":"Invalid request","ar":"طلب غير صالح"}}
}
