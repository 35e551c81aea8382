package sales_test

// guardSQL makes Postgres refuse to write a customer as it is: a sale that changes nothing must not.
const guardSQL = `
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written as it is'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON hoko.customers FOR EACH ROW WHEN (
	(OLD.workspace_id, OLD.external_id, OLD.name, OLD.email, OLD.phone, OLD.avatar, OLD.deleted_at) IS NOT DISTINCT FROM
	(NEW.workspace_id, NEW.external_id, NEW.name, NEW.email, NEW.phone, NEW.avatar, NEW.deleted_at)) EXECUTE FUNCTION refuse()`

// adoptSQL puts views over customers and sales, as a site does whose customers' ids are no text. Its leads have an index
// that puts them in no order.
const adoptSQL = `
DROP INDEX hoko.leads_named, hoko.leads_latest;
CREATE INDEX ON hoko.leads (customer_id);
CREATE SCHEMA site;
ALTER TABLE hoko.customers SET SCHEMA site;
ALTER TABLE hoko.sales SET SCHEMA site;
ALTER TABLE site.customers ALTER id DROP DEFAULT, ALTER id TYPE uuid USING id::uuid, ALTER id SET DEFAULT gen_random_uuid();
ALTER TABLE site.sales ALTER customer_id TYPE uuid USING customer_id::uuid;
CREATE UNIQUE INDEX ON site.customers ((id::text COLLATE "C"));
CREATE VIEW hoko.customers AS
SELECT id::text COLLATE "C" AS id, workspace_id, external_id, name, email, phone, avatar, updated_at, deleted_at FROM site.customers;
CREATE VIEW hoko.sales AS
SELECT id, workspace_id, customer_id::text COLLATE "C" AS customer_id, click_id, link_id, lead_id, attribution, amount, currency, event_name, metadata
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
	INSERT INTO site.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency, event_name, metadata)
	VALUES (NEW.id, NEW.workspace_id, NEW.customer_id::uuid, NEW.click_id, NEW.link_id, NEW.lead_id,
		NEW.attribution, NEW.amount, NEW.currency, NEW.event_name, NEW.metadata);
	RETURN NEW;
END $$;
CREATE TRIGGER create_sale INSTEAD OF INSERT ON hoko.sales FOR EACH ROW EXECUTE FUNCTION site.create_sale()`
