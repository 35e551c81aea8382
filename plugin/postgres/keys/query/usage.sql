-- Records that the keys $1 were last used in the minutes $2 since the epoch, but not in the future:
-- an edge's clock may be wrong. In the order of IDs, so that edges cannot deadlock.
INSERT INTO hoko.key_usage AS u (key_id, last_used_at)
SELECT used.key_id, least(to_timestamp(used.minute * 60), date_trunc('minute', now()))
FROM unnest($1::text[], $2::bigint[]) AS used (key_id, minute)
ORDER BY used.key_id COLLATE "C"
ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at
WHERE u.last_used_at < excluded.last_used_at
