-- Lists workspaces for people, by name: the one with the ID $1, or all if it is null. A site's view
-- may lack created_at.
SELECT w.id::text, coalesce(w.name, ''), w.rate_limit, w.rate_period, w.rate_burst, w.disabled_at IS NOT NULL,
       w.disabled_at, (to_jsonb(w) ->> 'created_at')::timestamptz, coalesce(k.valid, 0)
FROM hoko.workspaces w
LEFT JOIN (SELECT workspace_id::text AS id, count(*) AS valid FROM hoko.api_keys
           WHERE ($1::text IS NULL OR workspace_id::text = $1)
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
           GROUP BY workspace_id::text) k ON k.id = w.id::text
WHERE $1::text IS NULL OR w.id::text = $1
ORDER BY w.name, w.id
