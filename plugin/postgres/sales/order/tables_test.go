package order_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hoko.to/edge/internal/testenv"
	"hoko.to/edge/plugin/sale"
)

func readWorld(d testenv.DB) *world {
	d.T.Helper()
	w := &world{links: map[string]linkRow{}, clicks: map[string]clickRow{}}
	each(d, `SELECT workspace_id, id, url, short_url, title, description, image, utm::text, collection_id, partner_id,
		tenant_id, external_id, created_at FROM hoko.links`,
		func(row pgx.Rows) error {
			var workspace string
			var l sale.Link
			var utm *string
			err := row.Scan(&workspace, &l.ID, &l.URL, &l.ShortURL, &l.Title, &l.Description, &l.Image, &utm,
				&l.CollectionID, &l.PartnerID, &l.TenantID, &l.ExternalID, &l.CreatedAt)
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
	each(d, `SELECT id, workspace_id, customer_id, coalesce(click_id, 'null'), link_id, event_name, created_at
		FROM hoko.leads`, func(row pgx.Rows) error {
		var l leadRow
		var created time.Time
		err := row.Scan(&l.id, &l.workspace, &l.customer, &l.click, &l.link, &l.event, &created)
		l.created = created.UnixMicro()
		w.leads = append(w.leads, l)
		return err
	})
	return w
}

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

// readLedger reads what sales have changed. Of idempotency keys, it reads only the first answer.
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
	each(d, `SELECT id, workspace_id, customer_id, attribution, coalesce(click_id, 'null'), link_id,
		coalesce(lead_id, 'null'),
		amount, currency, event_name, coalesce(metadata::text, 'null') FROM hoko.sales`, func(row pgx.Rows) error {
		var id uuid.UUID
		var s soldRow
		err := row.Scan(&id, &s.workspace, &s.customer, &s.credit.attribution, &s.credit.click, &s.credit.link,
			&s.credit.lead,
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
	return answerOf(r, nil), nil
}

func each(d testenv.DB, sql string, f func(pgx.Rows) error) {
	d.T.Helper()
	rows, err := d.Conn.Query(testenv.Guarded(d.T), sql)
	testenv.NoError(d.T, err)
	defer rows.Close()
	for rows.Next() {
		testenv.NoError(d.T, f(rows))
	}
	testenv.NoError(d.T, rows.Err())
}

// guardSQL makes Postgres reject a write that leaves a customer unchanged.
const guardSQL = `
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written as it is'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON hoko.customers FOR EACH ROW WHEN (
	(OLD.workspace_id, OLD.external_id, OLD.name, OLD.email, OLD.phone, OLD.avatar, OLD.deleted_at) IS NOT DISTINCT FROM
	(NEW.workspace_id, NEW.external_id, NEW.name, NEW.email, NEW.phone, NEW.avatar, NEW.deleted_at))
	EXECUTE FUNCTION refuse()`

// adoptSQL creates views over customers and sales, as a site whose customers' IDs are not text. The
// index of its leads has no order.
const adoptSQL = `
DROP INDEX hoko.leads_named, hoko.leads_latest;
CREATE INDEX ON hoko.leads (customer_id);
CREATE SCHEMA site;
ALTER TABLE hoko.customers SET SCHEMA site;
ALTER TABLE hoko.sales SET SCHEMA site;
ALTER TABLE site.customers ALTER id DROP DEFAULT, ALTER id TYPE uuid USING id::uuid,
	ALTER id SET DEFAULT gen_random_uuid();
ALTER TABLE site.sales ALTER customer_id TYPE uuid USING customer_id::uuid;
CREATE UNIQUE INDEX ON site.customers ((id::text COLLATE "C"));
CREATE VIEW hoko.customers AS
SELECT id::text COLLATE "C" AS id, workspace_id, external_id, name, email, phone, avatar, updated_at, deleted_at
FROM site.customers;
CREATE VIEW hoko.sales AS
SELECT id, workspace_id, customer_id::text COLLATE "C" AS customer_id, click_id, link_id, lead_id, attribution, amount,
currency, event_name, metadata
FROM site.sales;
CREATE FUNCTION site.create_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO site.customers (workspace_id, external_id, name, email, phone, avatar)
	VALUES (NEW.workspace_id, NEW.external_id, NEW.name, NEW.email, NEW.phone, NEW.avatar)
	ON CONFLICT (workspace_id, external_id) DO NOTHING
	RETURNING id INTO NEW.id;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER create_customer INSTEAD OF INSERT ON hoko.customers FOR EACH ROW EXECUTE FUNCTION site.create_customer();
CREATE FUNCTION site.create_sale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO site.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency,
	event_name, metadata)
	VALUES (NEW.id, NEW.workspace_id, NEW.customer_id::uuid, NEW.click_id, NEW.link_id, NEW.lead_id,
		NEW.attribution, NEW.amount, NEW.currency, NEW.event_name, NEW.metadata);
	RETURN NEW;
END $$;
CREATE TRIGGER create_sale INSTEAD OF INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION site.create_sale()`

type ledger struct {
	customers map[customerName]customerRow
	sold      map[uuid.UUID]soldRow
	keys      map[keyName]keyRow
}

type customerName struct{ workspace, external string }

type customerRow struct {
	id, name, email, phone, avatar string
	deleted                        bool
}

// newcomer is a customer with no known column.
var newcomer = customerRow{name: "null", email: "null", phone: "null", avatar: "null"}

func (c *customerRow) columns() []any {
	return []any{&c.id, &c.name, &c.email, &c.phone, &c.avatar, &c.deleted}
}

type soldRow struct {
	workspace, customer       string
	credit                    credit
	amount                    int64
	currency, event, metadata string // metadata as jsonb writes it
}

type credit struct{ attribution, click, link, lead string }

type keyName struct{ workspace, key string }

type keyRow struct {
	request request
	first   answer
}

func (l ledger) hasSale(id uuid.UUID) bool {
	_, has := l.sold[id]
	return has
}

func (l ledger) hasCustomer(id string) bool {
	for _, c := range l.customers {
		if c.id == id {
			return true
		}
	}
	return false
}

func (l ledger) filter(keep func(any) bool) ledger {
	kept := ledger{maps.Clone(l.customers), maps.Clone(l.sold), maps.Clone(l.keys)}
	maps.DeleteFunc(kept.customers, func(n customerName, _ customerRow) bool { return !keep(n) })
	maps.DeleteFunc(kept.sold, func(id uuid.UUID, _ soldRow) bool { return !keep(id) })
	maps.DeleteFunc(kept.keys, func(k keyName, _ keyRow) bool { return !keep(k) })
	return kept
}

func (l ledger) of(touched map[any]bool) ledger {
	return l.filter(func(x any) bool { return touched[x] })
}

// stored returns the part of the ledger that the tables have.
func (l ledger) stored() ledger {
	l.keys = maps.Clone(l.keys)
	for key, row := range l.keys {
		l.keys[key] = keyRow{first: row.first}
	}
	return l
}

func (l ledger) equal(other ledger) bool {
	return maps.Equal(l.customers, other.customers) && maps.Equal(l.sold, other.sold) && maps.Equal(l.keys, other.keys)
}

func (l ledger) differs(stored ledger) string {
	return differing(l.customers, stored.customers) + differing(l.sold, stored.sold) + differing(l.keys, stored.keys)
}

func differing[K, V comparable](wanted, stored map[K]V) string {
	var b strings.Builder
	for k, want := range wanted {
		if got, is := stored[k]; !is || got != want {
			fmt.Fprintf(&b, "\n\t%v: stored %+v %v, want %+v", k, got, is, want)
		}
	}
	for k, got := range stored {
		if _, is := wanted[k]; !is {
			fmt.Fprintf(&b, "\n\t%v: stored %+v, want nothing", k, got)
		}
	}
	return b.String()
}
