-- The role that the edge connects as, with the least that it needs. Run it as the owner of the schema hoko, after
-- `caddy hoko migrate` and again after each upgrade; it may run any number of times. Then give the role a password
-- (\password hoko_edge) or another way to log in.
--
-- `caddy hoko migrate`, `caddy hoko keys` and `caddy hoko idempotency` need the owner of the schema, not this role.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hoko_edge') THEN
    CREATE ROLE hoko_edge LOGIN;
  END IF;
END $$;

GRANT USAGE ON SCHEMA hoko TO hoko_edge;

-- Read: the schema's version, keys, what a sale is attributed to, and what was recorded before.
GRANT SELECT ON
  hoko.schema_version, hoko.workspaces, hoko.api_keys, hoko.links, hoko.clicks, hoko.leads,
  hoko.customers, hoko.sales, hoko.idempotency_keys
TO hoko_edge;

-- Write: a sale, its idempotency key, and its customer. The edge deletes nothing, and changes of a customer only
-- what a sale may change.
GRANT INSERT ON hoko.sales, hoko.idempotency_keys TO hoko_edge;
GRANT INSERT (workspace_id, external_id, name, email, avatar) ON hoko.customers TO hoko_edge;
GRANT UPDATE (name, email, avatar, deleted_at, updated_at) ON hoko.customers TO hoko_edge;

-- LISTEN needs no right, and pg_notify none that a role lacks by default.
