-- Functions that record one sale in one transaction, with the effects and the result of the edge's
-- statement (see effects_test.go): bench.sale, and bench.keyed_sale for sales with an
-- Idempotency-Key. ../README.md compares other forms. keep_email and keep_avatar mean that the
-- request has no such member. metadata is compact JSON.
-- A sale to a known, unchanged customer runs three SELECTs of one row and one INSERT.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;

-- With OUT parameters instead of a named type, each call would read the columns from the catalog,
-- and a sale would cost 13 % more instructions.
CREATE TYPE bench.answer AS (
  attribution text, click_id text, customer_id text, email text, phone text, avatar text,
  link_id text, url text, short_url text, title text, description text, image text, utm jsonb,
  collection_id text, partner_id text, tenant_id text, link_external_id text, link_created_at timestamptz
);

-- Returns NULLs and writes nothing if the sale is unattributed.
CREATE FUNCTION bench.sale(
  workspace_id text, external_id text, name text, email text, keep_email bool, avatar text, keep_avatar bool,
  lead_event_name text, wanted_click_id text, sale_id uuid, amount bigint, currency text, event_name text, metadata text
) RETURNS bench.answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
<<known>>
DECLARE
  customer_id text;
  email       text;
  phone       text;
  avatar      text;
  differs     bool;
  attribution text;
  lead_id     text;
  click_id    text;
  link_id     text;
  answer      bench.answer;
BEGIN
  SELECT c.id, c.email, c.phone, c.avatar,
         c.deleted_at IS NOT NULL OR c.name IS DISTINCT FROM sale.name
           OR NOT sale.keep_email AND c.email IS DISTINCT FROM sale.email
           OR NOT sale.keep_avatar AND c.avatar IS DISTINCT FROM sale.avatar
  INTO known.customer_id, known.email, known.phone, known.avatar, known.differs
  FROM hoko.customers c WHERE c.workspace_id = sale.workspace_id AND c.external_id = sale.external_id;

  -- A lead's click counts as missing if it is another workspace's, but not if it was purged.
  IF sale.lead_event_name IS NOT NULL THEN
    SELECT 'lead-event', l.id, l.link_id, CASE WHEN NOT EXISTS (
      SELECT FROM hoko.clicks k WHERE k.id = l.click_id AND k.workspace_id <> sale.workspace_id) THEN l.click_id END
    INTO known.attribution, known.lead_id, known.link_id, known.click_id
    FROM hoko.leads l WHERE l.customer_id = known.customer_id AND l.event_name = sale.lead_event_name
      AND l.workspace_id = sale.workspace_id
    ORDER BY l.created_at DESC, l.id DESC LIMIT 1;
  END IF;
  IF known.attribution IS NULL AND sale.wanted_click_id IS NOT NULL THEN
    SELECT 'click', k.id, k.link_id INTO known.attribution, known.click_id, known.link_id
    FROM hoko.clicks k WHERE k.id = sale.wanted_click_id AND k.workspace_id = sale.workspace_id;
  ELSIF known.attribution IS NULL THEN
    SELECT 'latest-lead', l.id, l.link_id, CASE WHEN NOT EXISTS (
      SELECT FROM hoko.clicks k WHERE k.id = l.click_id AND k.workspace_id <> sale.workspace_id) THEN l.click_id END
    INTO known.attribution, known.lead_id, known.link_id, known.click_id
    FROM hoko.leads l WHERE l.customer_id = known.customer_id AND l.workspace_id = sale.workspace_id
    ORDER BY l.created_at DESC, l.id DESC LIMIT 1;
  END IF;

  SELECT known.attribution, known.click_id, known.customer_id, known.email, known.phone, known.avatar,
         l.id, l.url, l.short_url, l.title, l.description, l.image, l.utm, l.collection_id, l.partner_id, l.tenant_id,
         l.external_id, l.created_at
  INTO answer
  FROM hoko.links l WHERE l.id = known.link_id AND l.workspace_id = sale.workspace_id;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;

  IF known.customer_id IS NULL THEN
    -- DO UPDATE, because another session may have created the customer since the SELECT.
    INSERT INTO hoko.customers AS c (workspace_id, external_id, name, email, avatar)
    VALUES (sale.workspace_id, sale.external_id, sale.name, sale.email, sale.avatar)
    ON CONFLICT (workspace_id, external_id) DO UPDATE
    SET name = excluded.name, email = CASE WHEN sale.keep_email THEN c.email ELSE excluded.email END,
        avatar = CASE WHEN sale.keep_avatar THEN c.avatar ELSE excluded.avatar END,
        deleted_at = NULL, updated_at = now()
    RETURNING c.id, c.email, c.phone, c.avatar INTO answer.customer_id, answer.email, answer.phone, answer.avatar;
  ELSIF known.differs THEN
    UPDATE hoko.customers c
    SET name = sale.name, email = CASE WHEN sale.keep_email THEN c.email ELSE sale.email END,
        avatar = CASE WHEN sale.keep_avatar THEN c.avatar ELSE sale.avatar END, deleted_at = NULL, updated_at = now()
    WHERE c.id = known.customer_id
    RETURNING c.email, c.phone, c.avatar INTO answer.email, answer.phone, answer.avatar;
  END IF;

  INSERT INTO hoko.sales
    (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency, event_name, metadata)
  VALUES (sale.sale_id, sale.workspace_id, answer.customer_id, known.click_id, known.link_id, known.lead_id,
          known.attribution, sale.amount, sale.currency, sale.event_name, sale.metadata::jsonb);
  RETURN answer;
END $$;

CREATE TYPE bench.keyed_answer AS (sale_id uuid, response json);

-- Returns the response to the first request with the key, which is an earlier request if sale_id
-- differs. response is NULL if the key belongs to a different request; both are NULL if the sale is
-- unattributed. A concurrent request with the key may raise 23505: call again.
CREATE FUNCTION bench.keyed_sale(
  workspace_id text, external_id text, name text, email text, keep_email bool, avatar text, keep_avatar bool,
  lead_event_name text, wanted_click_id text, sale_id uuid, amount bigint, currency text, event_name text,
  metadata text, key text, fingerprint bytea
) RETURNS bench.keyed_answer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  recorded bench.answer;
  answer   bench.keyed_answer;
BEGIN
  SELECT k.sale_id, CASE WHEN k.fingerprint = keyed_sale.fingerprint THEN k.response END INTO answer
  FROM hoko.idempotency_keys k WHERE k.workspace_id = keyed_sale.workspace_id AND k.key = keyed_sale.key;
  IF FOUND THEN
    RETURN answer;
  END IF;

  recorded := bench.sale(workspace_id, external_id, name, email, keep_email, avatar, keep_avatar,
                         lead_event_name, wanted_click_id, sale_id, amount, currency, event_name, metadata);
  IF recorded.link_id IS NULL THEN
    RETURN NULL;
  END IF;

  INSERT INTO hoko.idempotency_keys AS k (workspace_id, key, fingerprint, sale_id, response)
  VALUES (keyed_sale.workspace_id, keyed_sale.key, keyed_sale.fingerprint, keyed_sale.sale_id,
         json_build_object('attribution', recorded.attribution, 'clickId', recorded.click_id,
           'link', json_build_object('id', recorded.link_id, 'url', recorded.url, 'shortUrl', recorded.short_url,
             'title', recorded.title, 'description', recorded.description, 'image', recorded.image,
             'utm', recorded.utm, 'collectionId', recorded.collection_id, 'partnerId', recorded.partner_id,
             'tenantId', recorded.tenant_id, 'externalId', recorded.link_external_id,
             'createdAt', recorded.link_created_at),
           'customer', json_build_object('id', recorded.customer_id, 'name', keyed_sale.name, 'email', recorded.email,
             'phone', recorded.phone, 'avatar', recorded.avatar, 'externalId', keyed_sale.external_id),
           'sale', json_build_object('amount', keyed_sale.amount, 'currency', keyed_sale.currency,
             'eventName', keyed_sale.event_name, 'metadata', keyed_sale.metadata)))
  RETURNING k.sale_id, k.response INTO answer;
  RETURN answer;
END $$;
