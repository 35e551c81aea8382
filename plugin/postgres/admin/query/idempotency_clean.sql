-- Deletes the idempotency keys in pages [$1, $2) that are older than $3. Slices in the table's
-- order read each page once and keep statements short. No sale needs rows that old.
DELETE FROM hoko.idempotency_keys
WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
  AND created_at < now() - $3::interval
