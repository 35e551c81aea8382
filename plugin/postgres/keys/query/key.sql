-- Looks up the keys with the hashes $1, which has no duplicates. A missing key returns no row.
-- LIMIT 1 makes the planner probe each relation's index once per key: without it, the planner may
-- join whole relations, or read all keys of a workspace.
SELECT asked.hash, k.id, k.workspace_id,
       k.scopes, k.allowed_hostnames,
       k.rate_limit, k.rate_period, k.rate_burst,
       w.rate_limit, w.rate_period, w.rate_burst,
       k.expires_at,
       k.revoked_at IS NOT NULL,
       w.disabled_at IS NOT NULL
FROM unnest($1::bytea[]) AS asked (hash)
CROSS JOIN LATERAL (SELECT * FROM hoko.api_keys WHERE key_hash = asked.hash LIMIT 1) k
CROSS JOIN LATERAL (SELECT * FROM hoko.workspaces w WHERE w.id = k.workspace_id LIMIT 1) w
