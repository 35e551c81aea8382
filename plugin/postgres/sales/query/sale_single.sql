-- A shorter sale.sql for most sales of a quiet edge: a single sale without an idempotency key that
-- does not change its known customer. It saves Postgres half of the time for starting the steps of
-- sale.sql. It writes nothing and returns no row for any other sale; sale.sql decides then.
-- $1 to $14: the values of the same arrays of sale.sql. The columns are those of its answer.
WITH found AS MATERIALIZED (
  SELECT customer.id AS customer_id, customer.email, customer.phone, customer.avatar,
         CASE WHEN named_lead.id IS NOT NULL THEN 'lead-event' WHEN click.id IS NOT NULL THEN 'click'
              ELSE 'latest-lead' END AS attribution,
         CASE WHEN foreign_click.id IS NULL
                THEN coalesce(named_lead.click_id, click.id, latest_lead.click_id) END AS click_id,
         coalesce(named_lead.id, latest_lead.id) AS lead_id,
         link.id AS link_id, link.url, link.short_url, link.title, link.description, link.image, link.utm,
         link.collection_id, link.partner_id, link.tenant_id, link.external_id, link.created_at
  FROM (SELECT c.id, c.email::text, c.phone::text, c.avatar::text,
               c.deleted_at IS NULL AND c.name::text IS NOT DISTINCT FROM $3::text
                 AND ($5::bool OR c.email::text IS NOT DISTINCT FROM $4::text)
                 AND ($7::bool OR c.avatar::text IS NOT DISTINCT FROM $6::text) AS same
        FROM hoko.customers c WHERE c.workspace_id = $1::text AND c.external_id = $2::text LIMIT 1) customer
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE $8::text IS NOT NULL AND l.customer_id = customer.id AND l.workspace_id = $1::text
           AND l.event_name BETWEEN $8::text AND $8::text
         ORDER BY l.event_name, l.created_at DESC, l.id DESC LIMIT 1) named_lead ON true
  LEFT JOIN LATERAL (SELECT k.id, k.link_id FROM hoko.clicks k
         WHERE k.id = $9::text AND k.workspace_id = $1::text AND named_lead.id IS NULL LIMIT 1) click ON true
  LEFT JOIN LATERAL (SELECT l.id, l.click_id, l.link_id FROM hoko.leads l
         WHERE l.customer_id = customer.id AND l.workspace_id = $1::text AND named_lead.id IS NULL AND $9::text IS NULL
         ORDER BY l.created_at DESC, l.id DESC LIMIT 1) latest_lead ON true
  LEFT JOIN LATERAL (SELECT k.id FROM hoko.clicks k
         WHERE k.id = coalesce(named_lead.click_id, latest_lead.click_id) AND k.workspace_id <> $1::text
         LIMIT 1) foreign_click ON true
  CROSS JOIN LATERAL (SELECT l.id, l.url::text, l.short_url::text, l.title::text, l.description::text, l.image::text,
                l.utm::jsonb, l.collection_id::text, l.partner_id::text, l.tenant_id::text, l.external_id::text,
                l.created_at
         FROM hoko.links l
         WHERE l.id = coalesce(named_lead.link_id, click.link_id, latest_lead.link_id) AND l.workspace_id = $1::text
         LIMIT 1) link
  WHERE customer.same
), sale AS (
  -- No ON CONFLICT: sale.sql decides about an ID that another sale has.
  INSERT INTO hoko.sales (id, workspace_id, customer_id, click_id, link_id, lead_id, attribution,
                          amount, currency, event_name, metadata)
  SELECT $10::uuid, $1::text, customer_id, click_id, link_id, lead_id, attribution,
         $11::bigint, $12::text, $13::text, $14::text::jsonb
  FROM found
  RETURNING id, workspace_id, customer_id
)
SELECT 1 AS ord,
       -- As in sale.sql.
       CASE WHEN sale.id IS NULL THEN ('altered: hoko.sales ' || f.attribution)::bigint::text ELSE 'ok' END AS status,
       $10::uuid AS sale_id, f.attribution, f.click_id, f.customer_id,
       CASE WHEN $5::bool THEN f.email ELSE $4::text END AS email, f.phone,
       CASE WHEN $7::bool THEN f.avatar ELSE $6::text END AS avatar,
       f.link_id, f.url, f.short_url, f.title, f.description, f.image, f.utm, f.collection_id, f.partner_id,
       f.tenant_id, f.external_id, f.created_at, NULL AS response
FROM found f LEFT JOIN sale ON sale.id = $10::uuid AND sale.workspace_id = $1::text AND sale.customer_id = f.customer_id
