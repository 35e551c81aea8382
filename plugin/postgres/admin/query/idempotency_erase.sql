-- Erases customer $4 of workspace $3 from the answers in pages [$1, $2). The key, its fingerprint
-- and the sale's ID stay, so that a retry still replays. An update moves the row to another page,
-- where the last condition skips it.
UPDATE hoko.idempotency_keys
SET response = jsonb_set(jsonb_set(response::jsonb,
      '{customer}', (response::jsonb -> 'customer') || '{"name": "", "email": null, "phone": null, "avatar": null}'),
      '{sale,metadata}', 'null')::json
WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
  AND workspace_id = $3 AND response #>> '{customer,externalId}' = $4
  AND (response #>> '{customer,name}' <> '' OR coalesce(response #>> '{customer,email}',
       response #>> '{customer,phone}', response #>> '{customer,avatar}', response #>> '{sale,metadata}') IS NOT NULL)
