package sale

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendResponse appends the body of a sale's 201. It is the only renderer, and
// replays are rendered anew: its bytes are frozen, for every version must
// answer a replay with the bytes of the first answer.
func AppendResponse(dst []byte, r *Recorded) []byte {
	dst = append(dst, `{"click":`...)
	if r.ClickID == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, `{"id":`...)
		dst = appendString(dst, *r.ClickID)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"link":`...)
	dst = appendLink(dst, &r.Link)
	dst = append(dst, `,"customer":`...)
	dst = appendCustomer(dst, &r.Customer)
	dst = append(dst, `,"sale":{"amount":`...)
	dst = strconv.AppendInt(dst, r.Amount, 10)
	dst = append(dst, `,"currency":`...)
	dst = appendString(dst, r.Currency)
	dst = append(dst, `,"eventName":`...)
	dst = appendString(dst, r.EventName)
	dst = append(dst, `,"metadata":`...)
	if len(r.Metadata) == 0 {
		dst = append(dst, "null"...)
	}
	dst = append(dst, r.Metadata...)
	return append(dst, "}}"...)
}

func appendLink(dst []byte, l *Link) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, l.ID)
	dst = append(dst, `,"url":`...)
	dst = appendString(dst, l.URL)
	dst = append(dst, `,"shortUrl":`...)
	dst = appendString(dst, l.ShortURL)
	dst = append(dst, `,"qrCode":`...)
	dst = appendString(dst, appendQRCodeURL(make([]byte, 0, 256), l.ShortURL))
	dst = append(dst, `,"title":`...)
	dst = appendNullable(dst, l.Title)
	dst = append(dst, `,"description":`...)
	dst = appendNullable(dst, l.Description)
	dst = append(dst, `,"image":`...)
	dst = appendNullable(dst, l.Image)
	dst = append(dst, `,"utm":`...)
	dst = appendUTM(dst, l.UTM)
	dst = append(dst, `,"collectionId":`...)
	dst = appendNullable(dst, l.CollectionID)
	dst = append(dst, `,"partnerId":`...)
	dst = appendNullable(dst, l.PartnerID)
	dst = append(dst, `,"tenantId":`...)
	dst = appendNullable(dst, l.TenantID)
	dst = append(dst, `,"externalId":`...)
	dst = appendNullable(dst, l.ExternalID)
	dst = append(dst, `,"createdAt":"`...)
	dst = l.CreatedAt.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}

func appendCustomer(dst []byte, c *Customer) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, c.ID)
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, c.Name)
	dst = append(dst, `,"email":`...)
	dst = appendNullable(dst, c.Email)
	dst = append(dst, `,"phone":`...)
	dst = appendNullable(dst, c.Phone)
	dst = append(dst, `,"avatar":`...)
	dst = appendNullable(dst, c.Avatar)
	dst = append(dst, `,"externalId":`...)
	dst = appendString(dst, c.ExternalID)
	return append(dst, '}')
}

func appendNullable(dst []byte, text *string) []byte {
	if text == nil {
		return append(dst, "null"...)
	}
	return appendString(dst, *text)
}

// appendString escapes only what JSON requires: `&`, `<`, `>` and all that is
// not ASCII stand raw.
func appendString[T string | []byte](dst []byte, text T) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // an error is invalid UTF-8, and its bytes became U+FFFD
	return dst
}
