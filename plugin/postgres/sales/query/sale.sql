-- Records every sale of a batch in one implicit transaction and answers each. It never waits for a
-- locked customer. ARCHITECTURE.md describes it in "The state machine of a sale".
-- $1 to $16: arrays with an element per request, as in "asked" below. keep_email and keep_avatar:
-- the member was absent. metadata: compact JSON as sent. $17: whether customers may be created.
-- A batch holds each sale ID and each idempotency key at most once.
--
-- Sales of one customer take effect in the order of the batch: at the snapshot if they change
-- nothing, otherwise at the row lock, where EvalPlanQual reads the newest version of the customer.
-- If another session holds that lock, those that change nothing come first and the others are busy.
-- Only rows with the status "ok" have written anything.
--
-- No deadlock: the statement can wait only for new customers, then sale IDs, then idempotency keys.
-- Each of the three INSERTs is sorted, and the sort reads all input before the first row goes in.
--
-- Relies on the columns it names, a key on every ID, unique customers (workspace_id, external_id),
-- the primary key (workspace_id, key) of idempotency_keys, the indexes leads (customer_id,
-- event_name, created_at DESC, id DESC) and leads (customer_id, created_at DESC, id DESC), and the
-- session settings in check.go. Over views, the INSTEAD OF INSERT trigger of customers returns NULL
-- if the customer exists, and that of sales lets a duplicate raise 23505.
WITH found AS MATERIALIZED (
  -- One row per request with all that is known of it, by index probes. Nothing is locked or written
  -- yet. Because of generate_subscripts, the planner expects 1,000 rows and hashes the steps below.
  SELECT asked.*, earlier.response, coalesce(earlier.sale_id, asked.sale_id) AS answered_sale_id,
         customer.id AS customer_id, customer.name AS stored_name, customer.email AS stored_email,
         customer.phone AS stored_phone, customer.avatar AS stored_avatar, customer.deleted_at AS stored_deleted_at,
         CASE WHEN recorded.id IS NOT NULL THEN recorded.attribution WHEN named_lead.id IS NOT NULL THEN 'lead-event'
              WHEN click.id IS NOT NULL THEN 'click'
              WHEN latest_lead.id IS NOT NULL THEN 'latest-lead' END AS attribution,
         CASE WHEN recorded.id IS NOT NULL THEN recorded.click_id
              WHEN foreign_click.id IS NULL
                THEN coalesce(named_lead.click_id, click.id, latest_lead.click_id) END AS click_id,
         coalesce(named_lead.id, latest_lead.id) AS lead_id,
         link.id AS link_id, link.url, link.short_url, link.title, link.description, link.image, link.utm,
         link.collection_id, link.partner_id, link.tenant_id, link.external_id AS link_external_id,
         link.created_at AS link_created_at,
         earlier.sale_id IS NULL AND recorded.id IS NULL AND link.id IS NOT NULL
           AND (customer.id IS NOT NULL OR $17::bool) AS recordable,
         CASE WHEN earlier.sale_id = asked.sale_id THEN 'exists'
              WHEN earlier.fingerprint = asked.fingerprint THEN 'replay'
              WHEN earlier.sale_id IS NOT NULL THEN 'mismatch'
              WHEN recorded.workspace_id = asked.workspace_id THEN 'exists'
              WHEN recorded.id IS NOT NULL THEN 'taken'
              WHEN link.id IS NULL THEN 'unattributed'
              WHEN customer.id IS NOT NULL THEN 'busy'
              WHEN $17::bool THEN 'raced'
              ELSE 'new' END AS otherwise
  FROM ROWS FROM (unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[], $7::bool[],
                         $8::text[], $9::text[], $10::uuid[], $11::bigint[], $12::text[], $13::text[], $14::text[],
                         $15::text[], $16::bytea[]),
                  generate_subscripts($1::text[], 1))
    AS asked (workspace_id, external_id, name, email, keep_email, avatar, keep_avatar, lead_event_name, wanted_click_id,
              sale_id, amount, currency, event_name, metadata, idempotency_key, fingerprint, ord)
  LEFT JOIN LATERAL (SELECT k.sale_id, k.fingerprint, k.response FROM hoko.idempotency_keys k
         WHERE k.workspace_id = asked.workspace_id AND k.key = asked.idempotency_key LIMIT 1) earlier ON true
  LEFT JOIN LATERAL (SELECT s.id, s.workspace_id, s.attribution::text, s.click_id, s.link_id
         FROM hoko.sales s
         WHERE s.id = asked.sale_id LIMIT 1) recorded ON true
  LEFT JOIN LATERAL (SELECT c.id, c.name::text, c.email::text, c.phone::text, c.avatar::text, c.deleted_at
         FROM hoko.customers c
         WHERE c.workspace_id = asked.workspace_id AND c.external_id = asked.external_id LIMIT 1) customer ON true
  -- BETWEEN and the order by event_name keep the planner from reading all leads of a customer by
  -- the other index.
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE asked.lead_event_name IS NOT NULL AND l.customer_id = customer.id AND l.workspace_id = asked.workspace_id
           AND l.event_name BETWEEN asked.lead_event_name AND asked.lead_event_name
         ORDER BY l.event_name, l.created_at DESC, l.id DESC LIMIT 1) named_lead ON true
  LEFT JOIN LATERAL (SELECT k.id, k.link_id FROM hoko.clicks k
         WHERE k.id = asked.wanted_click_id AND k.workspace_id = asked.workspace_id AND named_lead.id IS NULL
         LIMIT 1) click ON true
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE l.customer_id = customer.id AND l.workspace_id = asked.workspace_id
           AND named_lead.id IS NULL AND asked.wanted_click_id IS NULL
         ORDER BY l.created_at DESC, l.id DESC LIMIT 1) latest_lead ON true
  -- A lead's click in another workspace does not exist. A purged click still counts.
  LEFT JOIN LATERAL (SELECT k.id FROM hoko.clicks k
         WHERE k.id = coalesce(named_lead.click_id, latest_lead.click_id) AND k.workspace_id <> asked.workspace_id
         LIMIT 1) foreign_click ON true
  LEFT JOIN LATERAL (SELECT l.id, l.url::text, l.short_url::text, l.title::text, l.description::text, l.image::text,
                l.utm::jsonb, l.collection_id::text, l.partner_id::text, l.tenant_id::text, l.external_id::text,
                l.created_at
         FROM hoko.links l
         WHERE l.id = coalesce(recorded.link_id, named_lead.link_id, click.link_id, latest_lead.link_id)
           AND l.workspace_id = asked.workspace_id LIMIT 1) link ON true
), folded AS MATERIALIZED (
  -- The customer after each of its sales, in their order, and whether the last one leaves the
  -- stored row changed: only then is that row locked and written. email_from: the request that last
  -- set the email.
  SELECT *, bool_or(is_last AND differs) OVER (PARTITION BY workspace_id, external_id) AS changes
  FROM (SELECT *, customer_id IS NOT NULL AND (stored_deleted_at IS NOT NULL OR name IS DISTINCT FROM stored_name
                    OR email_from IS NOT NULL AND email_now IS DISTINCT FROM stored_email
                    OR avatar_from IS NOT NULL AND avatar_now IS DISTINCT FROM stored_avatar) AS differs
        FROM (SELECT *, CASE email_from WHEN ord THEN email ELSE ($4::text[])[email_from] END AS email_now,
                        CASE avatar_from WHEN ord THEN avatar ELSE ($6::text[])[avatar_from] END AS avatar_now
              FROM (SELECT ord, workspace_id, external_id, name, email, avatar,
                           customer_id, stored_name, stored_email, stored_phone, stored_avatar, stored_deleted_at,
                           stored_deleted_at IS NULL AND name IS NOT DISTINCT FROM stored_name
                             AND (keep_email OR email IS NOT DISTINCT FROM stored_email)
                             AND (keep_avatar OR avatar IS NOT DISTINCT FROM stored_avatar) AS same,
                           max(ord) FILTER (WHERE NOT keep_email) OVER so_far AS email_from,
                           max(ord) FILTER (WHERE NOT keep_avatar) OVER so_far AS avatar_from,
                           lead(ord) OVER so_far IS NULL AS is_last
                    FROM found WHERE recordable
                    WINDOW so_far AS (PARTITION BY workspace_id, external_id ORDER BY ord)) f) f) f
), locked AS MATERIALIZED (
  -- The newest committed state of the customers that must change, without those that another
  -- session has locked, renamed or purged.
  SELECT c.id, f.workspace_id, f.external_id, c.email, c.phone, c.avatar, f.name AS new_name,
         CASE WHEN f.email_from IS NULL THEN c.email ELSE f.email_now END AS new_email,
         CASE WHEN f.avatar_from IS NULL THEN c.avatar ELSE f.avatar_now END AS new_avatar,
         c.deleted_at IS NOT NULL OR c.name IS DISTINCT FROM f.name
           OR f.email_from IS NOT NULL AND c.email IS DISTINCT FROM f.email_now
           OR f.avatar_from IS NOT NULL AND c.avatar IS DISTINCT FROM f.avatar_now AS differs
  FROM folded f
  CROSS JOIN LATERAL (SELECT c.id, c.name::text, c.email::text, c.phone::text, c.avatar::text, c.deleted_at
         FROM hoko.customers c
         WHERE c.id = f.customer_id AND c.workspace_id = f.workspace_id AND c.external_id = f.external_id
         LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) c
  WHERE f.is_last AND f.changes
), updated AS (
  UPDATE hoko.customers c
  SET name = l.new_name, email = l.new_email, avatar = l.new_avatar, deleted_at = NULL, updated_at = now()
  FROM locked l
  WHERE c.id = l.id AND l.differs
    AND c.id = ANY (ARRAY(SELECT id FROM locked WHERE differs))  -- an index scan whatever the statistics say
  RETURNING (c.id, c.workspace_id, c.external_id) = (l.id, l.workspace_id, l.external_id) AS as_written
), created AS (
  -- Waits for another session that is creating the same customer; no row if that one commits.
  INSERT INTO hoko.customers (workspace_id, external_id, name, email, avatar)
  SELECT workspace_id, external_id, name, email_now, avatar_now
  FROM folded WHERE customer_id IS NULL AND is_last
  ORDER BY workspace_id, external_id
  ON CONFLICT DO NOTHING
  RETURNING id, workspace_id, external_id
), resolved AS MATERIALIZED (
  -- The customer of each sale, as answered. Without customer_id it was unavailable, and nothing is
  -- written for the sale. Without ord it was created as a different customer than requested.
  SELECT f.ord,
         CASE WHEN f.customer_id IS NULL THEN n.id WHEN f.changes AND NOT f.same THEN l.id
              ELSE f.customer_id END AS customer_id,
         CASE WHEN f.changes AND l.id IS NULL THEN f.stored_email WHEN f.email_from IS NOT NULL THEN f.email_now
              WHEN f.changes THEN l.email ELSE f.stored_email END AS email,
         CASE WHEN l.id IS NULL THEN f.stored_phone ELSE l.phone END AS phone,
         CASE WHEN f.changes AND l.id IS NULL THEN f.stored_avatar WHEN f.avatar_from IS NOT NULL THEN f.avatar_now
              WHEN f.changes THEN l.avatar ELSE f.stored_avatar END AS avatar
  FROM folded f LEFT JOIN locked l ON l.id = f.customer_id
  FULL JOIN created n ON n.workspace_id = f.workspace_id AND n.external_id = f.external_id
), sale AS (
  -- No ON CONFLICT: if an earlier run of the same sale commits meanwhile, this change of the
  -- customer must be undone.
  INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution,
                          amount, currency, event_name, metadata)
  SELECT f.sale_id, f.workspace_id, s.customer_id, f.click_id, f.link_id, f.lead_id, f.attribution,
         f.amount, f.currency, f.event_name, f.metadata::jsonb
  FROM found f JOIN resolved s ON s.ord = f.ord
  WHERE s.customer_id IS NOT NULL
  ORDER BY f.sale_id
  RETURNING id, workspace_id, customer_id
), remembered AS (
  -- No ON CONFLICT: if a request with the same key was first, the whole statement must be undone.
  -- The response holds all that a replay answers.
  INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
  SELECT f.workspace_id, f.idempotency_key, f.fingerprint, f.sale_id,
         json_build_object('attribution', f.attribution, 'clickId', f.click_id,
           'link', json_build_object('id', f.link_id, 'url', f.url, 'shortUrl', f.short_url, 'title', f.title,
             'description', f.description, 'image', f.image, 'utm', f.utm, 'collectionId', f.collection_id,
             'partnerId', f.partner_id, 'tenantId', f.tenant_id, 'externalId', f.link_external_id,
             'createdAt', f.link_created_at),
           'customer', json_build_object('id', s.customer_id, 'name', f.name, 'email', s.email, 'phone', s.phone,
             'avatar', s.avatar, 'externalId', f.external_id),
           'sale', json_build_object('amount', f.amount, 'currency', f.currency, 'eventName', f.event_name,
             'metadata', f.metadata))
  FROM found f JOIN resolved s ON s.ord = f.ord JOIN sale ON sale.id = f.sale_id
  WHERE f.idempotency_key IS NOT NULL
  ORDER BY f.workspace_id, f.idempotency_key
)
SELECT f.ord,
       -- If a trigger altered an ID, the cast fails with the relation and undoes the statement.
       CASE WHEN EXISTS (SELECT FROM resolved WHERE ord IS NULL)
              OR (SELECT count(*) FROM locked WHERE differs) > (SELECT count(*) FROM updated WHERE as_written)
            THEN ('altered: hoko.customers ' || f.ord)::bigint::text
            WHEN s.customer_id IS NULL THEN f.otherwise
            WHEN sale.id IS NULL THEN ('altered: hoko.sales ' || f.ord)::bigint::text
            ELSE 'ok' END AS status, f.answered_sale_id AS sale_id, f.attribution, f.click_id,
       coalesce(s.customer_id, f.customer_id) AS customer_id,
       CASE WHEN s.ord IS NOT NULL THEN s.email WHEN f.keep_email THEN f.stored_email ELSE f.email END AS email,
       CASE WHEN s.ord IS NOT NULL THEN s.phone ELSE f.stored_phone END AS phone,
       CASE WHEN s.ord IS NOT NULL THEN s.avatar WHEN f.keep_avatar THEN f.stored_avatar ELSE f.avatar END AS avatar,
       f.link_id, f.url, f.short_url, f.title, f.description, f.image, f.utm, f.collection_id, f.partner_id,
       f.tenant_id, f.link_external_id, f.link_created_at, f.response
FROM found f LEFT JOIN resolved s ON s.ord = f.ord
LEFT JOIN sale ON sale.id = f.sale_id AND sale.workspace_id = f.workspace_id AND sale.customer_id = s.customer_id

