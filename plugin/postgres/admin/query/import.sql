-- Stores keys, given as one array for each column; lists are separated by spaces. Records each of
-- them in hoko.audit, for the user $11. Returns nothing; the number of rows is that of the keys.
WITH created AS (
  INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, allowed_hostnames,
    rate_limit, rate_period, rate_burst, expires_at)
  SELECT workspace_id, name, key_hash, key_start, string_to_array(scopes, ' '), string_to_array(hostnames, ' '),
         rate_limit, rate_period, rate_burst, expires_at
  FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[],
         $7::integer[], $8::interval[], $9::integer[], $10::timestamptz[])
    AS given (workspace_id, name, key_hash, key_start, scopes, hostnames,
         rate_limit, rate_period, rate_burst, expires_at)
  RETURNING id::text AS id, workspace_id::text AS workspace_id, key_start, scopes
)
INSERT INTO hoko.audit (os_user, command, workspace_id, key_id, details)
SELECT $11::text, 'keys import', workspace_id, id, jsonb_build_object('start', key_start, 'scopes', to_jsonb(scopes))
FROM created
