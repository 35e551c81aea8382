-- All that is known of the key of one hash; no row, no such key. One probe of each relation's key.
-- The casts are for views over tables with other types: enums as scopes, timestamps without a zone (taken as UTC).
SELECT k.id, k.workspace_id,
       k.scopes::text[], k.allowed_hostnames::text[],
       k.rate_limit::bigint, k.rate_period, k.rate_burst::bigint,
       w.rate_limit::bigint, w.rate_period, w.rate_burst::bigint,
       k.expires_at::timestamptz,
       k.revoked_at IS NOT NULL,
       w.disabled_at IS NOT NULL
FROM hoko.api_keys k JOIN hoko.workspaces w ON w.id = k.workspace_id
WHERE k.key_hash = $1
LIMIT 1
