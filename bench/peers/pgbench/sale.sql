-- The edge's statement for one request, as a transaction of its own: SELECT * FROM bench.sale(…), and bench.keyed_sale(…) with an Idempotency-Key.
-- The same effects and the same answer (effects_test.go), in the form that costs Postgres least: ../README.md tells of the others.
-- Arguments are bound as the edge binds them; keep_email, keep_avatar: the member was absent; metadata: compact JSON as sent.
-- A branch that is not taken costs nothing: a sale to a known, unchanged customer runs three SELECTs of one row each and an INSERT.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;

-- A named type: the columns of OUT parameters would be read from the catalogue at each call, for a tenth of the whole cost.
CREATE TYPE bench.answer AS (
  attribution text, click_id text, customer_id text, email text, phone text, avatar text,
  link_id text, url text, short_url text, title text, description text, image text, utm jsonb,
  collection_id text, partner_id text, tenant_id text, link_external_id text, link_created_at timestamptz
);

-- All null where nothing attributes the sale; nothing is written then.
CREATE FUNCTION bench.sale(
  workspace_id text, external_id text, name text, email text, keep_email bool, avatar text, keep_avatar bool, lead_event_name text, wanted_click_id text,
  sale_id uuid, amount bigint, currency text, event_name text, metadata text
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

  -- A lead's click that is another workspace's does not exist. One that was purged still names what earned the sale.
  IF sale.lead_event_name IS NOT NULL THEN
    SELECT 'lead-event', l.id, CASE WHEN NOT EXISTS (SELECT FROM hoko.clicks k WHERE k.id = l.click_id AND k.workspace_id <> sale.workspace_id) THEN l.click_id END, l.link_id
    INTO known.attribution, known.lead_id, known.click_id, known.link_id
    FROM hoko.leads l WHERE l.customer_id = known.customer_id AND l.event_name = sale.lead_event_name AND l.workspace_id = sale.workspace_id
    ORDER BY l.created_at DESC, l.id DESC LIMIT 1;
  END IF;
  IF known.attribution IS NULL AND sale.wanted_click_id IS NOT NULL THEN
    SELECT 'click', k.id, k.link_id INTO known.attribution, known.click_id, known.link_id
    FROM hoko.clicks k WHERE k.id = sale.wanted_click_id AND k.workspace_id = sale.workspace_id;
  ELSIF known.attribution IS NULL THEN
    SELECT 'latest-lead', l.id, CASE WHEN NOT EXISTS (SELECT FROM hoko.clicks k WHERE k.id = l.click_id AND k.workspace_id <> sale.workspace_id) THEN l.click_id END, l.link_id
    INTO known.attribution, known.lead_id, known.click_id, known.link_id
    FROM hoko.leads l WHERE l.customer_id = known.customer_id AND l.workspace_id = sale.workspace_id
    ORDER BY l.created_at DESC, l.id DESC LIMIT 1;
  END IF;

  SELECT known.attribution, known.click_id, known.customer_id, known.email, known.phone, known.avatar,
         l.id, l.url, l.short_url, l.title, l.description, l.image, l.utm, l.collection_id, l.partner_id, l.tenant_id, l.external_id, l.created_at
  INTO answer
  FROM hoko.links l WHERE l.id = known.link_id AND l.workspace_id = sale.workspace_id;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;

  IF known.customer_id IS NULL THEN
    -- DO UPDATE, as another session may have created the customer meanwhile.
    INSERT INTO hoko.customers AS c (workspace_id, external_id, name, email, avatar)
    VALUES (sale.workspace_id, sale.external_id, sale.name, sale.email, sale.avatar)
    ON CONFLICT (workspace_id, external_id) DO UPDATE
    SET name = excluded.name, email = CASE WHEN sale.keep_email THEN c.email ELSE excluded.email END,
        avatar = CASE WHEN sale.keep_avatar THEN c.avatar ELSE excluded.avatar END, deleted_at = NULL, updated_at = now()
    RETURNING c.id, c.email, c.phone, c.avatar INTO answer.customer_id, answer.email, answer.phone, answer.avatar;
  ELSIF known.differs THEN
    UPDATE hoko.customers c
    SET name = sale.name, email = CASE WHEN sale.keep_email THEN c.email ELSE sale.email END,
        avatar = CASE WHEN sale.keep_avatar THEN c.avatar ELSE sale.avatar END, deleted_at = NULL, updated_at = now()
    WHERE c.id = known.customer_id
    RETURNING c.email, c.phone, c.avatar INTO answer.email, answer.phone, answer.avatar;
  END IF;

  INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency, event_name, metadata)
  VALUES (sale.sale_id, sale.workspace_id, answer.customer_id, known.click_id, known.link_id, known.lead_id, known.attribution,
          sale.amount, sale.currency, sale.event_name, sale.metadata::jsonb);
  RETURN answer;
END $$;

CREATE TYPE bench.keyed_answer AS (sale_id uuid, response json);

-- The first answer to the key, from which the 201 is made, whether it is this call's or an earlier one's: sale_id tells. No response: the key was
-- used with another request, or, where sale_id is null too, nothing attributes the sale. A twin under way raises 23505: call again.
CREATE FUNCTION bench.keyed_sale(
  workspace_id text, external_id text, name text, email text, keep_email bool, avatar text, keep_avatar bool, lead_event_name text, wanted_click_id text,
  sale_id uuid, amount bigint, currency text, event_name text, metadata text, key text, fingerprint bytea
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

  recorded := bench.sale(workspace_id, external_id, name, email, keep_email, avatar, keep_avatar, lead_event_name, wanted_click_id,
                         sale_id, amount, currency, event_name, metadata);
  IF recorded.link_id IS NULL THEN
    RETURN NULL;
  END IF;

  INSERT INTO hoko.idempotency_keys AS k (workspace_id, key, fingerprint, sale_id, response)
  VALUES (keyed_sale.workspace_id, keyed_sale.key, keyed_sale.fingerprint, keyed_sale.sale_id,
         json_build_object('attribution', recorded.attribution, 'clickId', recorded.click_id,
           'link', json_build_object('id', recorded.link_id, 'url', recorded.url, 'shortUrl', recorded.short_url, 'title', recorded.title,
             'description', recorded.description, 'image', recorded.image, 'utm', recorded.utm, 'collectionId', recorded.collection_id,
             'partnerId', recorded.partner_id, 'tenantId', recorded.tenant_id, 'externalId', recorded.link_external_id,
             'createdAt', recorded.link_created_at),
           'customer', json_build_object('id', recorded.customer_id, 'name', keyed_sale.name, 'email', recorded.email, 'phone', recorded.phone,
             'avatar', recorded.avatar, 'externalId', keyed_sale.external_id),
           'sale', json_build_object('amount', keyed_sale.amount, 'currency', keyed_sale.currency, 'eventName', keyed_sale.event_name,
             'metadata', keyed_sale.metadata)))
  RETURNING k.sale_id, k.response INTO answer;
  RETURN answer;
END $$;
