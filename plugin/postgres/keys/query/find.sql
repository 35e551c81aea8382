-- Finds the keys whose ID or first characters are $1: the one with that ID first, at most 11.
SELECT k.id::text, k.key_hash, k.id::text = $1 AS by_id
FROM hoko.api_keys k
WHERE k.id::text = $1 OR k.key_start = $1
ORDER BY by_id DESC, k.id
LIMIT 11
