package sales_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

// readWorld reads what only the site writes.
func readWorld(d testenv.DB) *world {
	d.T.Helper()
	w := &world{links: map[string]linkRow{}, clicks: map[string]clickRow{}}
	each(d, `SELECT workspace_id, id, url, short_url, title, description, image, utm::text, collection_id, partner_id, tenant_id, external_id, created_at FROM hoko.links`,
		func(row pgx.Rows) error {
			var workspace string
			var l sale.Link
			var utm *string
			err := row.Scan(&workspace, &l.ID, &l.URL, &l.ShortURL, &l.Title, &l.Description, &l.Image, &utm, &l.CollectionID, &l.PartnerID, &l.TenantID, &l.ExternalID, &l.CreatedAt)
			if utm != nil {
				l.UTM = json.RawMessage(*utm)
			}
			w.links[l.ID] = linkRow{workspace, linkText(l)}
			return err
		})
	each(d, "SELECT id, workspace_id, link_id FROM hoko.clicks", func(row pgx.Rows) error {
		var id string
		var c clickRow
		err := row.Scan(&id, &c.workspace, &c.link)
		w.clicks[id] = c
		return err
	})
	each(d, "SELECT id, workspace_id, customer_id, coalesce(click_id, 'null'), link_id, event_name, created_at FROM hoko.leads", func(row pgx.Rows) error {
		var l leadRow
		var created time.Time
		err := row.Scan(&l.id, &l.workspace, &l.customer, &l.click, &l.link, &l.event, &created)
		l.created = created.UnixMicro()
		w.leads = append(w.leads, l)
		return err
	})
	return w
}

// linkText is all of a link.
func linkText(l sale.Link) string {
	l.CreatedAt = l.CreatedAt.UTC()
	if string(l.UTM) == "null" {
		l.UTM = nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// readLedger reads what sales have changed; of keys the first answer only, not what was asked.
func readLedger(d testenv.DB) ledger {
	d.T.Helper()
	l := ledger{map[customerName]customerRow{}, map[uuid.UUID]soldRow{}, map[keyName]keyRow{}}
	each(d, "SELECT workspace_id, external_id, "+customerColumns+" FROM hoko.customers", func(row pgx.Rows) error {
		var name customerName
		var c customerRow
		err := row.Scan(append([]any{&name.workspace, &name.external}, c.columns()...)...)
		l.customers[name] = c
		return err
	})
	each(d, `SELECT id, workspace_id, customer_id, attribution, coalesce(click_id, 'null'), link_id, coalesce(lead_id, 'null'),
		amount, currency, event_name, coalesce(metadata::text, 'null') FROM hoko.sales`, func(row pgx.Rows) error {
		var id uuid.UUID
		var s soldRow
		err := row.Scan(&id, &s.workspace, &s.customer, &s.credit.attribution, &s.credit.click, &s.credit.link, &s.credit.lead,
			&s.amount, &s.currency, &s.event, &s.metadata)
		l.sold[id] = s
		return err
	})
	each(d, "SELECT workspace_id, key, sale_id, response::text FROM hoko.idempotency_keys", func(row pgx.Rows) error {
		var key keyName
		var id uuid.UUID
		var response string
		if err := row.Scan(&key.workspace, &key.key, &id, &response); err != nil {
			return err
		}
		first, err := readKept(id, response)
		l.keys[key] = keyRow{first: first}
		return err
	})
	return l
}

// readKept reads the answer that is kept beside an idempotency key.
func readKept(id uuid.UUID, response string) (answer, error) {
	var kept struct {
		Attribution sale.Attribution
		ClickID     *string
		Link        sale.Link
		Customer    sale.Customer
		Sale        struct {
			Amount              int64
			Currency, EventName string
			Metadata            *string
		}
	}
	if err := json.Unmarshal([]byte(response), &kept); err != nil {
		return answer{}, fmt.Errorf("%s: %w", response, err)
	}
	r := &sale.Recorded{
		SaleID: id, Attribution: kept.Attribution, ClickID: kept.ClickID, Link: kept.Link, Customer: kept.Customer,
		Amount: kept.Sale.Amount, Currency: kept.Sale.Currency, EventName: kept.Sale.EventName,
	}
	if kept.Sale.Metadata != nil {
		r.Metadata = []byte(*kept.Sale.Metadata)
	}
	return told(r, nil), nil
}

// each calls f for all rows of a query.
func each(d testenv.DB, sql string, f func(pgx.Rows) error) {
	d.T.Helper()
	rows, err := d.Conn.Query(testenv.Guarded(d.T), sql)
	if err != nil {
		d.T.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			d.T.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		d.T.Fatal(err)
	}
}
