-- One slice of the clean-up: the keys in pages [$1, $2) that are older than $3. Goes through the table in its own order, so that each page is read
-- once, and no statement takes long; what it locks is too old for a sale to want it.
DELETE FROM hoko.idempotency_keys
WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
  AND created_at < now() - $3::interval
