-- One execution records every sale of a batch and answers each, in an implicit transaction, and never waits for a locked customer.
-- $1 to $16: arrays, an element a request, in the order of `asked` below (keep_email: the member was absent; metadata: compact JSON as sent). $17: may customers be created?
-- A batch holds a sale id once and an idempotency key once; sales of the same customer take effect in their order in it.
-- Steps: found (all that is known of each request: its key's first answer, its sale if an earlier run recorded it, customer, attribution, link), folded (several sales of one
--   customer), locked (newest state of only the customers that must change), updated, created, settled (the customer as answered), sale, remembered (idempotency).
-- Order: a sale that changes nothing takes its place at this snapshot, one that changes its customer at the row lock, where EvalPlanQual reads the newest version.
--   Where that lock is not to be had, the sales of its customer that would change nothing by themselves come first, at the snapshot, and only the others are `busy`.
-- No deadlock: row locks are never waited for. What can be waited for comes in one order on every edge: new customers, then sale ids (an earlier run of the same sale, still
--   under way), then idempotency keys; each of the three INSERTs is sorted, and its sort swallows all that feeds it before its first row goes in.
-- Status: ok = recorded (201). exists = an earlier run recorded it (201 from `response` if there is one, else from these columns). replay = 201 from `response`.
--   mismatch = 422. unattributed = 400. busy = another session holds the customer, or has renamed or purged it: next batch, and from there to the slow lane.
--   raced = another session has just created the customer: next batch. new = unknown customer, and $17 is false. taken = this id is another workspace's sale: make a new one.
--   Only rows that are `ok` have written anything.
-- Errors, nothing of the batch is written: 23505 (a twin or an earlier run has committed meanwhile) the same batch again, after three times its halves.
--   55P03 (another session's open transaction) its halves; a single row once more with $17 false, and then in the slow lane. On a lock of a whole table: the next batch.
--   If 23505 names an idempotency key, the sales with keys of its workspace join a batch of their own (retry.go).
--   40P01, 40001: again. Any other SQLSTATE (a row that Postgres refuses): its halves. Connection lost, outcome unknown: again with the same ids on another connection.
-- A sale alone that changes nothing has a shorter statement, sale_single.sql; this one decides whatever that leaves.
-- Slow lane: a connection of its own, this text without its skipping of locked rows, all waiting sales of one customer a statement, under a lock_timeout within their deadlines.
-- Relies on the columns that it names, keys on every id, customers (workspace_id, external_id) unique, idempotency_keys (workspace_id, key) primary; indexes
--   leads (customer_id, event_name, created_at DESC, id DESC) and leads (customer_id, created_at DESC, id DESC); and on the settings of the session (session.go).
-- Over views: the INSTEAD OF INSERT trigger of customers returns NULL where the customer exists; that of sales lets a duplicate raise 23505.
WITH found AS MATERIALIZED (
  -- One row a request with all that is known of it, an index probe each; nothing is locked or written yet.
  -- generate_subscripts also makes the planner expect a thousand rows, so that it hashes and does not loop over the steps below.
  SELECT asked.*, earlier.response, coalesce(earlier.sale_id, asked.sale_id) AS answered_sale_id,
         customer.id AS customer_id, customer.name AS stored_name, customer.email AS stored_email,
         customer.phone AS stored_phone, customer.avatar AS stored_avatar, customer.deleted_at AS stored_deleted_at,
         CASE WHEN recorded.id IS NOT NULL THEN recorded.attribution WHEN named_lead.id IS NOT NULL THEN 'lead-event'
              WHEN click.id IS NOT NULL THEN 'click' WHEN latest_lead.id IS NOT NULL THEN 'latest-lead' END AS attribution,
         CASE WHEN recorded.id IS NOT NULL THEN recorded.click_id
              WHEN stranger.id IS NULL THEN coalesce(named_lead.click_id, click.id, latest_lead.click_id) END AS click_id,
         coalesce(named_lead.id, latest_lead.id) AS lead_id,
         link.id AS link_id, link.url, link.short_url, link.title, link.description, link.image, link.utm, link.collection_id,
         link.partner_id, link.tenant_id, link.external_id AS link_external_id, link.created_at AS link_created_at,
         earlier.sale_id IS NULL AND recorded.id IS NULL AND link.id IS NOT NULL AND (customer.id IS NOT NULL OR $17::bool) AS recordable,
         CASE WHEN earlier.sale_id = asked.sale_id THEN 'exists'
              WHEN earlier.fingerprint = asked.fingerprint THEN 'replay'
              WHEN earlier.sale_id IS NOT NULL THEN 'mismatch'
              WHEN recorded.workspace_id = asked.workspace_id THEN 'exists'
              WHEN recorded.id IS NOT NULL THEN 'taken'
              WHEN link.id IS NULL THEN 'unattributed'
              WHEN customer.id IS NOT NULL THEN 'busy'
              WHEN $17::bool THEN 'raced'
              ELSE 'new' END AS otherwise
  FROM ROWS FROM (unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[], $7::bool[], $8::text[], $9::text[],
                         $10::uuid[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[]),
                  generate_subscripts($1::text[], 1))
    AS asked (workspace_id, external_id, name, email, keep_email, avatar, keep_avatar, lead_event_name, wanted_click_id,
              sale_id, amount, currency, event_name, metadata, idempotency_key, fingerprint, ord)
  LEFT JOIN LATERAL (SELECT k.sale_id, k.fingerprint, k.response FROM hoko.idempotency_keys k
         WHERE k.workspace_id = asked.workspace_id AND k.key = asked.idempotency_key LIMIT 1) earlier ON true
  LEFT JOIN LATERAL (SELECT s.id, s.workspace_id, s.attribution::text, s.click_id, s.link_id FROM hoko.sales s
         WHERE s.id = asked.sale_id LIMIT 1) recorded ON true
  LEFT JOIN LATERAL (SELECT c.id, c.name::text, c.email::text, c.phone::text, c.avatar::text, c.deleted_at FROM hoko.customers c
         WHERE c.workspace_id = asked.workspace_id AND c.external_id = asked.external_id LIMIT 1) customer ON true
  -- BETWEEN and the order by event_name leave the planner no other index, which it would read a customer's leads through for the name.
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE asked.lead_event_name IS NOT NULL AND l.customer_id = customer.id AND l.event_name BETWEEN asked.lead_event_name AND asked.lead_event_name AND l.workspace_id = asked.workspace_id
         ORDER BY l.event_name, l.created_at DESC, l.id DESC LIMIT 1) named_lead ON true
  LEFT JOIN LATERAL (SELECT k.id, k.link_id FROM hoko.clicks k
         WHERE k.id = asked.wanted_click_id AND k.workspace_id = asked.workspace_id AND named_lead.id IS NULL LIMIT 1) click ON true
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE l.customer_id = customer.id AND l.workspace_id = asked.workspace_id
           AND named_lead.id IS NULL AND asked.wanted_click_id IS NULL
         ORDER BY l.created_at DESC, l.id DESC LIMIT 1) latest_lead ON true
  -- A lead's click that is another workspace's does not exist. One that was purged still names what earned the sale.
  LEFT JOIN LATERAL (SELECT k.id FROM hoko.clicks k
         WHERE k.id = coalesce(named_lead.click_id, latest_lead.click_id) AND k.workspace_id <> asked.workspace_id LIMIT 1) stranger ON true
  LEFT JOIN LATERAL (SELECT l.id, l.url::text, l.short_url::text, l.title::text, l.description::text, l.image::text, l.utm::jsonb, l.collection_id::text,
                l.partner_id::text, l.tenant_id::text, l.external_id::text, l.created_at FROM hoko.links l
         WHERE l.id = coalesce(recorded.link_id, named_lead.link_id, click.link_id, latest_lead.link_id)
           AND l.workspace_id = asked.workspace_id LIMIT 1) link ON true
), folded AS MATERIALIZED (
  -- Several sales of one customer, in their order: what each leaves behind (email_from: the request that set the e-mail last, if any),
  -- and whether the last of them leaves the stored row changed. Only then is that row locked and written.
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
  -- The newest committed state of the customers that must change; one that is locked elsewhere, renamed or purged is left out.
  SELECT c.id, f.workspace_id, f.external_id, c.email, c.phone, c.avatar, f.name AS new_name,
         CASE WHEN f.email_from IS NULL THEN c.email ELSE f.email_now END AS new_email,
         CASE WHEN f.avatar_from IS NULL THEN c.avatar ELSE f.avatar_now END AS new_avatar,
         c.deleted_at IS NOT NULL OR c.name IS DISTINCT FROM f.name
           OR f.email_from IS NOT NULL AND c.email IS DISTINCT FROM f.email_now
           OR f.avatar_from IS NOT NULL AND c.avatar IS DISTINCT FROM f.avatar_now AS differs
  FROM folded f CROSS JOIN LATERAL (SELECT c.id, c.name::text, c.email::text, c.phone::text, c.avatar::text, c.deleted_at FROM hoko.customers c
         WHERE c.id = f.customer_id AND c.workspace_id = f.workspace_id AND c.external_id = f.external_id
         LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) c
  WHERE f.is_last AND f.changes
), updated AS (
  UPDATE hoko.customers c
  SET name = l.new_name, email = l.new_email, avatar = l.new_avatar, deleted_at = NULL, updated_at = now()
  FROM locked l
  WHERE c.id = l.id AND l.differs
    AND c.id = ANY (ARRAY(SELECT id FROM locked WHERE differs))  -- keeps it an index scan whatever the statistics say
  RETURNING (c.id, c.workspace_id, c.external_id) = (l.id, l.workspace_id, l.external_id) AS as_written
), created AS (
  -- This can wait for another session that creates the same customer; it comes back without the row if that one commits.
  INSERT INTO hoko.customers (workspace_id, external_id, name, email, avatar)
  SELECT workspace_id, external_id, name, email_now, avatar_now
  FROM folded WHERE customer_id IS NULL AND is_last
  ORDER BY workspace_id, external_id
  ON CONFLICT DO NOTHING
  RETURNING id, workspace_id, external_id
), settled AS MATERIALIZED (
  -- The customer of each sale, as it is answered; a row whose customer could not be had has no id here, and nothing is written for it.
  -- A customer that was created as another one than asked for has no ord.
  SELECT f.ord,
         CASE WHEN f.customer_id IS NULL THEN n.id WHEN f.changes AND NOT f.same THEN l.id ELSE f.customer_id END AS customer_id,
         CASE WHEN f.changes AND l.id IS NULL THEN f.stored_email WHEN f.email_from IS NOT NULL THEN f.email_now
              WHEN f.changes THEN l.email ELSE f.stored_email END AS email,
         CASE WHEN l.id IS NULL THEN f.stored_phone ELSE l.phone END AS phone,
         CASE WHEN f.changes AND l.id IS NULL THEN f.stored_avatar WHEN f.avatar_from IS NOT NULL THEN f.avatar_now
              WHEN f.changes THEN l.avatar ELSE f.stored_avatar END AS avatar
  FROM folded f LEFT JOIN locked l ON l.id = f.customer_id
  FULL JOIN created n ON n.workspace_id = f.workspace_id AND n.external_id = f.external_id
), sale AS (
  -- No ON CONFLICT: an earlier run of the same sale that commits meanwhile must undo what this one did to the customer.
  INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution, amount, currency, event_name, metadata)
  SELECT f.sale_id, f.workspace_id, s.customer_id, f.click_id, f.link_id, f.lead_id, f.attribution, f.amount, f.currency, f.event_name, f.metadata::jsonb
  FROM found f JOIN settled s ON s.ord = f.ord
  WHERE s.customer_id IS NOT NULL
  ORDER BY f.sale_id
  RETURNING id, workspace_id, customer_id
), remembered AS (
  -- Last, and no ON CONFLICT here too: a twin that was first must undo this whole statement. Holds all that a replay answers.
  INSERT INTO hoko.idempotency_keys (workspace_id, key, fingerprint, sale_id, response)
  SELECT f.workspace_id, f.idempotency_key, f.fingerprint, f.sale_id,
         json_build_object('attribution', f.attribution, 'clickId', f.click_id,
           'link', json_build_object('id', f.link_id, 'url', f.url, 'shortUrl', f.short_url, 'title', f.title, 'description', f.description,
             'image', f.image, 'utm', f.utm, 'collectionId', f.collection_id, 'partnerId', f.partner_id, 'tenantId', f.tenant_id,
             'externalId', f.link_external_id, 'createdAt', f.link_created_at),
           'customer', json_build_object('id', s.customer_id, 'name', f.name, 'email', s.email, 'phone', s.phone, 'avatar', s.avatar,
             'externalId', f.external_id),
           'sale', json_build_object('amount', f.amount, 'currency', f.currency, 'eventName', f.event_name, 'metadata', f.metadata))
  FROM found f JOIN settled s ON s.ord = f.ord JOIN sale ON sale.id = f.sale_id
  WHERE f.idempotency_key IS NOT NULL
  ORDER BY f.workspace_id, f.idempotency_key
)
SELECT f.ord,
       -- Not what was asked for is there: the cast fails, and with it all that was written. Its error names the relation.
       CASE WHEN EXISTS (SELECT FROM settled WHERE ord IS NULL)
              OR (SELECT count(*) FROM locked WHERE differs) > (SELECT count(*) FROM updated WHERE as_written)
            THEN ('altered: hoko.customers ' || f.ord)::bigint::text
            WHEN s.customer_id IS NULL THEN f.otherwise
            WHEN sale.id IS NULL THEN ('altered: hoko.sales ' || f.ord)::bigint::text
            ELSE 'ok' END AS status, f.answered_sale_id AS sale_id, f.attribution, f.click_id,
       coalesce(s.customer_id, f.customer_id) AS customer_id,
       CASE WHEN s.ord IS NOT NULL THEN s.email WHEN f.keep_email THEN f.stored_email ELSE f.email END AS email,
       CASE WHEN s.ord IS NOT NULL THEN s.phone ELSE f.stored_phone END AS phone,
       CASE WHEN s.ord IS NOT NULL THEN s.avatar WHEN f.keep_avatar THEN f.stored_avatar ELSE f.avatar END AS avatar,
       f.link_id, f.url, f.short_url, f.title, f.description, f.image, f.utm, f.collection_id, f.partner_id, f.tenant_id,
       f.link_external_id, f.link_created_at, f.response
FROM found f LEFT JOIN settled s ON s.ord = f.ord
LEFT JOIN sale ON sale.id = f.sale_id AND sale.workspace_id = f.workspace_id AND sale.customer_id = s.customer_id

