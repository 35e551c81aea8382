-- Finds keys by their ID or first characters $1, or by their hash $2: at most 11, the newest first.
-- is_exact: no other key can match.
SELECT k.key_hash, k.id, k.workspace_id,
       k.scopes, k.allowed_hostnames,
       k.rate_limit, k.rate_period, k.rate_burst,
       w.rate_limit, w.rate_period, w.rate_burst,
       k.expires_at,
       k.revoked_at IS NOT NULL,
       w.disabled_at IS NOT NULL,
       coalesce(k.key_start, ''), coalesce(k.name, ''), coalesce(w.name, ''),
       coalesce(k.id::text = $1::text OR k.key_hash = $2::bytea, false) AS is_exact
FROM hoko.api_keys k JOIN hoko.workspaces w ON w.id = k.workspace_id
WHERE k.id::text = $1::text OR k.key_start = $1::text OR k.key_hash = $2::bytea
ORDER BY is_exact DESC, k.created_at DESC, k.id
LIMIT 11
