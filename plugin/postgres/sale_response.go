package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hoko.to/edge/plugin/sale"
)

// savedResponse is what the statement keeps beside an idempotency key, of this
// and of every earlier version of the edge.
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
		Metadata  *string `json:"metadata"` // as first sent, which jsonb would not keep
	} `json:"sale"`
}

// readResponse makes the first answer again of what was kept of it.
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

// savedTimes are the ways in which Postgres writes a timestamp in JSON: its
// session's offset from UTC may have seconds, before there were time zones, and
// an adopted table's column may have no time zone.
var savedTimes = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z07:00:00", "2006-01-02T15:04:05.999999999"}

// The first and the last time that RFC 3339 can write: Postgres knows earlier and later ones, and infinity.
var (
	firstTime = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func savedTime(text string) (t time.Time, err error) {
	if strings.HasSuffix(text, "BC") || text == "-infinity" {
		return firstTime, nil
	}
	if year, _, _ := strings.Cut(text, "-"); len(year) > 4 { // infinity, too
		return lastTime, nil
	}
	for _, layout := range savedTimes {
		if t, err = time.Parse(layout, text); err == nil {
			return writable(t.UTC()), nil
		}
	}
	return t, err
}

// writable is the nearest time that RFC 3339 can write.
func writable(t time.Time) time.Time {
	switch {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	}
	return t
}
