package sales_test

import (
	"fmt"

	"github.com/google/uuid"

	"hoko.to/edge/plugin/sale"
)

// answer is what became of something, as its caller was told.
type answer struct {
	result                    string
	saleID                    uuid.UUID
	attribution, click, link  string
	external                  string
	customer                  customerRow
	amount                    int64
	currency, event, metadata string // metadata as sent
}

func (a answer) String() string {
	if a.result == wasRecorded || a.result == wasReplayed {
		return fmt.Sprintf("%s %v by %s, click %s, link %.12s, %+v, %d %s %q %s", a.result, a.saleID, a.attribution, a.click, a.link, a.customer, a.amount, a.currency, a.event, a.metadata)
	}
	return fmt.Sprintf("%s %+v", a.result, a.customer)
}

// The results of a sale.
const (
	wasRecorded     = "recorded"
	wasReplayed     = "replayed"
	wasUnattributed = "unattributed"
	wasMismatch     = "mismatch"
	wasUnknown      = "unknown"
	wasShed         = "shed"
)

// request is a sale.Request as idempotency keys compare it.
type request struct {
	external, name, email, avatar, lead, click string
	amount                                     int64
	currency, event, metadata                  string
}

func requestOf(r *sale.Request) request {
	return request{
		r.CustomerExternalID, r.CustomerName, optionalText(r.CustomerEmail), optionalText(r.CustomerAvatar), r.LeadEventName, r.ClickID,
		r.Amount, r.Currency, r.EventName, asJSONB[string(r.Metadata)],
	}
}

func optionalText(o sale.Optional) string {
	if !o.Given {
		return "kept"
	}
	return text(o.Value)
}

// asJSONB is every metadata that is sent, as jsonb writes it.
var asJSONB = map[string]string{
	"":                       "null",
	`{}`:                     `{}`,
	`{"a":1,"b":[2.0]}`:      `{"a": 1, "b": [2.0]}`,
	`{"b":[2.0],"a":1}`:      `{"a": 1, "b": [2.0]}`,
	`{"b":[2.00],"a":1}`:     `{"a": 1, "b": [2.00]}`,
	`{"a":"\u00e4\n","b":1}`: `{"a": "ä\n", "b": 1}`,
	`{"b":1,"a":"ä\u000a"}`:  `{"a": "ä\n", "b": 1}`,
}
