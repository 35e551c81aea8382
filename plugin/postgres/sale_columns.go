package postgres

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"time"

	"hoko.to/edge/plugin/sale"
)

var errGone = errors.New("its link or customer is gone")

// readColumns makes the answer of a row and the request that it answers.
func readColumns(v [][]byte, request *sale.Request) (*sale.Recorded, error) {
	if v[colLinkID] == nil || v[colCustomerID] == nil || v[colLinkCreatedAt] == nil {
		return nil, errGone
	}
	a := newSaleAnswerText(v)
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

// textColumns are those that a saleAnswerText holds.
var textColumns = [...]int{
	colClickID, colCustomerID, colEmail, colPhone, colAvatar, colLinkID, colURL, colShortURL, colTitle, colDescription, colImage,
	colCollectionID, colPartnerID, colTenantID, colLinkExternalID,
}

// saleAnswerText is an answer with the texts of its row, in two allocations: a
// string each would be most of what a batch leaves to the garbage collector.
type saleAnswerText struct {
	recorded sale.Recorded
	text     [colResponse + 1]string
	null     [colResponse + 1]bool
}

func newSaleAnswerText(v [][]byte) *saleAnswerText {
	length := 0
	for _, column := range textColumns {
		length += len(v[column])
	}
	var all strings.Builder
	all.Grow(length)
	for _, column := range textColumns {
		all.Write(v[column])
	}
	a, rest := new(saleAnswerText), all.String()
	for _, column := range textColumns {
		n := len(v[column])
		a.text[column], rest = rest[:n], rest[n:]
		a.null[column] = v[column] == nil
	}
	return a
}

func (a *saleAnswerText) nullable(column int) *string {
	if a.null[column] {
		return nil
	}
	return &a.text[column]
}

// readAttribution spares the known ones an allocation.
func readAttribution(text []byte) sale.Attribution {
	for _, known := range []sale.Attribution{sale.LeadEvent, sale.Click, sale.LatestLead} {
		if string(text) == string(known) {
			return known
		}
	}
	return sale.Attribution(text)
}

// binaryTime reads a timestamp, with time zone or in UTC: microseconds since 2000.
func binaryTime(value []byte) time.Time {
	const epoch = 946684800
	micros := int64(binary.BigEndian.Uint64(value))
	if micros > math.MaxInt64-epoch*1e6 { // infinity; minus infinity stays in range
		return lastTime
	}
	return writable(time.UnixMicro(epoch*1e6 + micros).UTC())
}
