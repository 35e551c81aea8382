package sales

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/sale"
)

// status is the statement's result for one sale. ARCHITECTURE.md describes them in "The state
// machine of a sale".
type status string

const (
	statusOK           status = "ok"           // recorded
	statusExists       status = "exists"       // recorded by an earlier run of this sale
	statusReplay       status = "replay"       // recorded by an earlier request with this idempotency key
	statusMismatch     status = "mismatch"     // the idempotency key belongs to a different request
	statusUnattributed status = "unattributed" // no lead or click, or its link is gone
	statusBusy         status = "busy"         // another session has locked or just changed the customer
	statusRaced        status = "raced"        // another session has just created the customer
	statusNew          status = "new"          // the customer is unknown, and this run may not create it
	statusTaken        status = "taken"        // another workspace has a sale with this ID
)

// parseStatus returns the status without allocating if it is known.
func parseStatus(text []byte) status {
	for _, known := range []status{
		statusOK, statusExists, statusReplay, statusMismatch, statusUnattributed,
		statusBusy, statusRaced, statusNew, statusTaken,
	} {
		if string(text) == string(known) {
			return known
		}
	}
	return status(text)
}

var errGone = errors.New("its link or customer is gone")

// readColumns returns the answer of a row to its request.
func readColumns(v [][]byte, request *sale.Request) (*sale.Recorded, error) {
	if v[colLinkID] == nil || v[colCustomerID] == nil || v[colLinkCreatedAt] == nil {
		return nil, errGone
	}
	a := newAnswerText(v)
	a.recorded = sale.Recorded{
		Attribution: readAttribution(v[colAttribution]),
		ClickID:     a.nullable(colClickID),
		Link: sale.Link{
			ID: a.text[colLinkID], URL: a.text[colURL], ShortURL: a.text[colShortURL],
			Title: a.nullable(colTitle), Description: a.nullable(colDescription), Image: a.nullable(colImage),
			UTM:          append([]byte(nil), v[colUTM]...),
			CollectionID: a.nullable(colCollectionID), PartnerID: a.nullable(colPartnerID),
			TenantID: a.nullable(colTenantID), ExternalID: a.nullable(colLinkExternalID),
			CreatedAt: binaryTime(v[colLinkCreatedAt]),
		},
		Customer: sale.Customer{
			ID: a.text[colCustomerID], Name: request.CustomerName,
			Email: a.nullable(colEmail), Phone: a.nullable(colPhone), Avatar: a.nullable(colAvatar),
			ExternalID: request.CustomerExternalID,
		},
		Amount: request.Amount, Currency: request.Currency, EventName: request.EventName, Metadata: request.Metadata,
	}
	return &a.recorded, nil
}

var textColumns = [...]int{
	colClickID, colCustomerID, colEmail, colPhone, colAvatar, colLinkID, colURL, colShortURL, colTitle,
	colDescription, colImage, colCollectionID, colPartnerID, colTenantID, colLinkExternalID,
}

// answerText holds an answer and the texts of its row in two allocations. With one string each, the
// texts would be most of the garbage of a batch.
type answerText struct {
	recorded sale.Recorded
	text     [colResponse + 1]string
	null     [colResponse + 1]bool
}

func newAnswerText(v [][]byte) *answerText {
	length := 0
	for _, column := range textColumns {
		length += len(v[column])
	}
	var all strings.Builder
	all.Grow(length)
	for _, column := range textColumns {
		all.Write(v[column])
	}
	a, rest := new(answerText), all.String()
	for _, column := range textColumns {
		n := len(v[column])
		a.text[column], rest = rest[:n], rest[n:]
		a.null[column] = v[column] == nil
	}
	return a
}

func (a *answerText) nullable(column int) *string {
	if a.null[column] {
		return nil
	}
	return &a.text[column]
}

func readAttribution(text []byte) sale.Attribution {
	for _, known := range []sale.Attribution{sale.LeadEvent, sale.Click, sale.LatestLead} {
		if string(text) == string(known) {
			return known
		}
	}
	return sale.Attribution(text)
}

// binaryTime reads a timestamp with or without time zone: microseconds since 2000 in UTC.
func binaryTime(value []byte) time.Time {
	const epoch = 946684800
	micros := int64(binary.BigEndian.Uint64(value))
	if micros > math.MaxInt64-epoch*1e6 { // infinity; minus infinity stays in range
		return lastTime
	}
	return writable(time.UnixMicro(epoch*1e6 + micros).UTC())
}

// savedResponse is what the statement stores with an idempotency key, and what every earlier
// version has stored.
type savedResponse struct {
	Attribution sale.Attribution `json:"attribution"`
	ClickID     *string          `json:"clickId"`
	Link        struct {
		ID           string          `json:"id"`
		URL          string          `json:"url"`
		ShortURL     string          `json:"shortUrl"`
		Title        *string         `json:"title"`
		Description  *string         `json:"description"`
		Image        *string         `json:"image"`
		UTM          json.RawMessage `json:"utm"`
		CollectionID *string         `json:"collectionId"`
		PartnerID    *string         `json:"partnerId"`
		TenantID     *string         `json:"tenantId"`
		ExternalID   *string         `json:"externalId"`
		CreatedAt    string          `json:"createdAt"`
	} `json:"link"`
	Customer struct {
		ID         string  `json:"id"`
		Name       string  `json:"name"`
		Email      *string `json:"email"`
		Phone      *string `json:"phone"`
		Avatar     *string `json:"avatar"`
		ExternalID string  `json:"externalId"`
	} `json:"customer"`
	Sale struct {
		Amount    int64   `json:"amount"`
		Currency  string  `json:"currency"`
		EventName string  `json:"eventName"`
		Metadata  *string `json:"metadata"` // as sent; jsonb would reorder it
	} `json:"sale"`
}

// readResponse rebuilds the first answer from what was stored.
func readResponse(text []byte) (*sale.Recorded, error) {
	var saved savedResponse
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("read saved response: %w", err)
	}
	created, err := savedTime(saved.Link.CreatedAt)
	if err != nil {
		return nil, fmt.Errorf("read saved response: %w", err)
	}
	link := sale.Link{
		ID: saved.Link.ID, URL: saved.Link.URL, ShortURL: saved.Link.ShortURL,
		Title: saved.Link.Title, Description: saved.Link.Description, Image: saved.Link.Image,
		CollectionID: saved.Link.CollectionID, PartnerID: saved.Link.PartnerID,
		TenantID: saved.Link.TenantID, ExternalID: saved.Link.ExternalID, CreatedAt: created,
	}
	if !bytes.Equal(saved.Link.UTM, []byte("null")) {
		link.UTM = saved.Link.UTM
	}
	var metadata []byte
	if saved.Sale.Metadata != nil {
		metadata = []byte(*saved.Sale.Metadata)
	}
	return &sale.Recorded{
		Attribution: saved.Attribution, ClickID: saved.ClickID, Link: link, Customer: sale.Customer(saved.Customer),
		Amount: saved.Sale.Amount, Currency: saved.Sale.Currency, EventName: saved.Sale.EventName, Metadata: metadata,
	}, nil
}

// savedTimes are the layouts in which Postgres writes timestamps in JSON. An offset may have
// seconds (before there were time zones), and a column of an adopted table may have no time zone.
var savedTimes = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z07:00:00", "2006-01-02T15:04:05.999999999",
}

// The first and last time of RFC 3339. Postgres also has earlier and later ones, and infinity.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func savedTime(text string) (t time.Time, err error) {
	if strings.HasSuffix(text, "BC") || text == "-infinity" {
		return firstTime, nil
	}
	if year, _, _ := strings.Cut(text, "-"); len(year) > 4 { // or infinity
		return lastTime, nil
	}
	for _, layout := range savedTimes {
		if t, err = time.Parse(layout, text); err == nil {
			return writable(t.UTC()), nil
		}
	}
	return t, err
}

// writable returns the nearest time that RFC 3339 can express.
func writable(t time.Time) time.Time {
	switch {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	}
	return t
}

// rejected returns the error of a sale that the database rejects.
func rejected(err error) error {
	if relation, altered := alteredRelation(err); altered {
		return fmt.Errorf("the row that a sale wrote to %s is missing or changed: "+
			"a trigger must keep its IDs and return it, see docs/adopting.md: %w", relation, err)
	}
	return fmt.Errorf("the database rejected the sale: %w", err)
}

// alteredRelation returns the relation whose trigger changed an ID, from the failed cast in
// sale.sql.
func alteredRelation(err error) (relation string, altered bool) {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pgErr.Code != pgerrcode.InvalidTextRepresentation {
		return "", false
	}
	_, after, altered := strings.Cut(pgErr.Message, "altered: ") // in the quotation marks of the server's language
	relation, _, _ = strings.Cut(after, " ")
	return relation, altered
}

// conflicted returns the error of a sale all of whose tries conflicted. A later retry may win, so
// the sale counts as not recorded.
func conflicted(err error) error {
	return notRecorded(errors.Join(errConflict, err))
}

var errConflict = errors.New("it conflicts with other transactions")
