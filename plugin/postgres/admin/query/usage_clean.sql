-- Deletes the last uses of keys that have been deleted. A site's IDs may have another collation.
DELETE FROM hoko.key_usage u
WHERE NOT EXISTS (SELECT FROM hoko.api_keys k WHERE k.id::text COLLATE "C" = u.key_id)
