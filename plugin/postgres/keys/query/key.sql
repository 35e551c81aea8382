-- All that is known of the keys of these hashes ($1, none of them twice); no row, no such key. One probe of each
-- relation's key for each, whatever the statistics say: a LIMIT keeps the planner from joining whole relations, and from
-- looking a workspace's keys through.
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
