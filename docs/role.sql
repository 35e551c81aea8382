-- Creates the role that the edge connects as, with only the rights that it needs. Run this as the
-- owner of the schema hoko, after `caddy hoko migrate` and after each upgrade; it may run any
-- number of times. Then give the role a password (\password hoko_edge) or another way to log in.
--
-- Commands that change keys or workspaces need the owner of the schema, not this role. The
-- exception is `caddy hoko keys revoke`, so that a leaked key can be revoked wherever an edge runs.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hoko_edge') THEN
    CREATE ROLE hoko_edge LOGIN;
  END IF;
END $$;

GRANT USAGE ON SCHEMA hoko TO hoko_edge;

-- Read: the schema's version, keys, what a sale is attributed to, recorded sales, and when the
-- owner last cleaned up.
GRANT SELECT ON
  hoko.schema_version, hoko.workspaces, hoko.api_keys, hoko.links, hoko.clicks, hoko.leads,
  hoko.customers, hoko.sales, hoko.idempotency_keys, hoko.maintenance
TO hoko_edge;

-- Write: a sale, its idempotency key, and its customer. The edge deletes nothing.
GRANT INSERT ON hoko.sales, hoko.idempotency_keys TO hoko_edge;
GRANT INSERT (workspace_id, external_id, name, email, avatar) ON hoko.customers TO hoko_edge;
GRANT UPDATE (name, email, avatar, deleted_at, updated_at) ON hoko.customers TO hoko_edge;

-- When keys were last used. To update a row, Postgres has to read it.
GRANT SELECT, INSERT, UPDATE ON hoko.key_usage TO hoko_edge;

-- Take a key's access away, which is recorded in hoko.audit. Nothing gives it back to this role.
GRANT EXECUTE ON FUNCTION hoko.revoke_key(text, text) TO hoko_edge;

-- LISTEN and pg_notify need no further right.
