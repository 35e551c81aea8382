-- Lists keys for people, the newest first: those of workspace $1 (null for all) that $2 selects
-- (null for all) by ID or first characters, or one of $3 by hash; whose ID begins with $4; if $5,
-- only revoked ones; only valid ones that are older than $6 and were not used since (null for all);
-- at most $7. is_exact: $2 is the ID, or $3 has the hash.
SELECT k.id::text, k.workspace_id::text, coalesce(w.name, ''), coalesce(k.name, ''), coalesce(k.key_start, ''),
       k.scopes, k.allowed_hostnames, k.rate_limit, k.rate_period, k.rate_burst, k.expires_at, k.revoked_at,
       k.created_at, u.last_used_at, w.disabled_at IS NOT NULL,
       coalesce(k.id::text = $2 OR k.key_hash = ANY ($3::bytea[]), false) AS is_exact
FROM hoko.api_keys k
JOIN hoko.workspaces w ON w.id = k.workspace_id
LEFT JOIN hoko.key_usage u ON u.key_id = k.id::text
WHERE ($1::text IS NULL OR k.workspace_id::text = $1)
  AND ($2::text IS NULL OR k.id::text = $2 OR k.key_start = $2 OR k.key_hash = ANY ($3::bytea[]))
  AND starts_with(k.id::text, $4)
  AND (NOT $5::boolean OR k.revoked_at IS NOT NULL)
  AND ($6::timestamptz IS NULL
    OR coalesce(k.created_at < $6, true) AND coalesce(u.last_used_at < $6, true)
    AND k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true) AND w.disabled_at IS NULL)
ORDER BY k.created_at DESC, k.id
LIMIT $7
