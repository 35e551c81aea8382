-- All that is known of the key of one hash; no row, no such key. One probe of each relation's key, whatever the
-- statistics say: a LIMIT keeps the planner from looking a workspace's keys through, or all workspaces.
SELECT k.id, k.workspace_id,
       k.scopes, k.allowed_hostnames,
       k.rate_limit, k.rate_period, k.rate_burst,
       w.rate_limit, w.rate_period, w.rate_burst,
       k.expires_at,
       k.revoked_at IS NOT NULL,
       w.disabled_at IS NOT NULL
FROM (SELECT * FROM hoko.api_keys WHERE key_hash = $1 LIMIT 1) k
CROSS JOIN LATERAL (SELECT * FROM hoko.workspaces w WHERE w.id = k.workspace_id LIMIT 1) w
