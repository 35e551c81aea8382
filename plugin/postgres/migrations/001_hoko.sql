-- The relations that the edge reads and writes. A site that has its own tables replaces some of
-- these with views (docs/adopting.md), so only api_keys has a foreign key.
--
-- IDs and other opaque keys have COLLATE "C": comparing bytes is cheaper, and an upgrade of the
-- operating system's locales cannot corrupt their indexes.

CREATE TABLE hoko.workspaces (
  id          text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  name        text NOT NULL DEFAULT '',
  -- The default limit of each key of the workspace. Edges ignore an invalid limit.
  rate_limit  integer,
  rate_period interval,
  rate_burst  integer,
  disabled_at timestamptz,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hoko.api_keys (
  id                text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  workspace_id      text COLLATE "C" NOT NULL REFERENCES hoko.workspaces (id) ON UPDATE CASCADE ON DELETE CASCADE,
  name              text NOT NULL DEFAULT '',
  key_hash          bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),  -- SHA-256 of the whole key
  key_start         text NOT NULL DEFAULT '',                                   -- so that people can distinguish keys
  scopes            text[] NOT NULL DEFAULT '{}',
  allowed_hostnames text[] NOT NULL DEFAULT '{}',
  rate_limit        integer,
  rate_period       interval,
  rate_burst        integer,
  expires_at        timestamptz,
  revoked_at        timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_workspace ON hoko.api_keys (workspace_id);

-- The site writes links, clicks and leads. Foreign keys would make the writers lock shared rows,
-- and prevent purging clicks. Instead, the edge limits lookups to the key's workspace.
CREATE TABLE hoko.links (
  id            text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  workspace_id  text COLLATE "C" NOT NULL,
  url           text NOT NULL,
  short_url     text NOT NULL,
  title         text,
  description   text,
  image         text,
  utm           jsonb,
  collection_id text COLLATE "C",
  partner_id    text COLLATE "C",
  tenant_id     text COLLATE "C",
  external_id   text COLLATE "C",
  created_at    timestamptz NOT NULL DEFAULT now(),
  deleted_at    timestamptz
);

CREATE TABLE hoko.clicks (
  id           text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  workspace_id text COLLATE "C" NOT NULL,
  link_id      text COLLATE "C" NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
);

-- With free space in each page (fillfactor), updates of customers need no index updates.
CREATE TABLE hoko.customers (
  id           text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  workspace_id text COLLATE "C" NOT NULL,
  external_id  text COLLATE "C" NOT NULL,
  name         text,
  email        text,
  phone        text,
  avatar       text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  deleted_at   timestamptz,
  UNIQUE (workspace_id, external_id)
) WITH (fillfactor = 90);

CREATE TABLE hoko.leads (
  id           text COLLATE "C" PRIMARY KEY DEFAULT gen_random_uuid()::text,
  workspace_id text COLLATE "C" NOT NULL,
  customer_id  text COLLATE "C" NOT NULL,
  click_id     text COLLATE "C",
  link_id      text COLLATE "C" NOT NULL,
  event_name   text COLLATE "C" NOT NULL,
  metadata     jsonb,
  created_at   timestamptz NOT NULL DEFAULT now()
);
-- One probe finds the latest lead of a customer, with a given event name or with any.
CREATE INDEX leads_named  ON hoko.leads (customer_id, event_name, created_at DESC, id DESC);
CREATE INDEX leads_latest ON hoko.leads (customer_id, created_at DESC, id DESC);

-- Foreign keys would halve the throughput, and prevent purging clicks and detaching partitions. The
-- ID is a UUIDv7 that the edge generates. It grows with time, so sales can be partitioned by it.
CREATE TABLE hoko.sales (
  id           uuid PRIMARY KEY,
  workspace_id text COLLATE "C" NOT NULL,
  customer_id  text COLLATE "C" NOT NULL,
  click_id     text COLLATE "C",
  link_id      text COLLATE "C" NOT NULL,
  lead_id      text COLLATE "C",
  attribution  text NOT NULL CHECK (attribution IN ('lead-event', 'click', 'latest-lead')),
  amount       bigint NOT NULL CHECK (amount >= 0),       -- in the currency's minor unit
  currency     text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
  event_name   text NOT NULL,
  metadata     jsonb,
  created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hoko.idempotency_keys (
  workspace_id text COLLATE "C" NOT NULL,
  key          text COLLATE "C" NOT NULL,
  fingerprint  bytea NOT NULL,
  sale_id      uuid NOT NULL,
  response     json NOT NULL,  -- everything that a replay needs
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace_id, key)
);

-- Notifications invalidate cached keys on every edge. Sites with their own tables also send the
-- payloads: key:<hex SHA-256 of the key> or workspace:<id>; anything else, or nothing, means every
-- key. Notifying transactions commit one at a time, so updates notify only if a column that edges
-- read changes.
CREATE FUNCTION hoko.notify_api_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Both hashes of an UPDATE; Postgres sends equal ones once.
  IF TG_OP <> 'INSERT' THEN
    PERFORM pg_catalog.pg_notify('hoko_keys', 'key:' || pg_catalog.encode(OLD.key_hash, 'hex'));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    PERFORM pg_catalog.pg_notify('hoko_keys', 'key:' || pg_catalog.encode(NEW.key_hash, 'hex'));
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION hoko.notify_workspace() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  payload text;
BEGIN
  FOREACH payload IN ARRAY CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.id] WHEN 'DELETE' THEN ARRAY[OLD.id] ELSE ARRAY[OLD.id, NEW.id] END LOOP
    payload := 'workspace:' || payload;
    IF pg_catalog.octet_length(payload) > 7999 THEN
      payload := '';  -- more than a notification holds: every key
    END IF;
    PERFORM pg_catalog.pg_notify('hoko_keys', payload);
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION hoko.notify_every_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_catalog.pg_notify('hoko_keys', '');
  RETURN NULL;
END $$;

CREATE TRIGGER hoko_notify AFTER INSERT OR DELETE ON hoko.api_keys
  FOR EACH ROW EXECUTE FUNCTION hoko.notify_api_key();
CREATE TRIGGER hoko_notify_update AFTER UPDATE ON hoko.api_keys
  FOR EACH ROW WHEN (
    (OLD.id, OLD.workspace_id, OLD.key_hash, OLD.scopes, OLD.allowed_hostnames,
     OLD.rate_limit, OLD.rate_period, OLD.rate_burst, OLD.expires_at, OLD.revoked_at) IS DISTINCT FROM
    (NEW.id, NEW.workspace_id, NEW.key_hash, NEW.scopes, NEW.allowed_hostnames,
     NEW.rate_limit, NEW.rate_period, NEW.rate_burst, NEW.expires_at, NEW.revoked_at)
  ) EXECUTE FUNCTION hoko.notify_api_key();
CREATE TRIGGER hoko_notify_truncate AFTER TRUNCATE ON hoko.api_keys
  FOR EACH STATEMENT EXECUTE FUNCTION hoko.notify_every_key();

CREATE TRIGGER hoko_notify AFTER INSERT OR DELETE ON hoko.workspaces
  FOR EACH ROW EXECUTE FUNCTION hoko.notify_workspace();
CREATE TRIGGER hoko_notify_update AFTER UPDATE ON hoko.workspaces
  FOR EACH ROW WHEN (
    (OLD.id, OLD.rate_limit, OLD.rate_period, OLD.rate_burst, OLD.disabled_at) IS DISTINCT FROM
    (NEW.id, NEW.rate_limit, NEW.rate_period, NEW.rate_burst, NEW.disabled_at)
  ) EXECUTE FUNCTION hoko.notify_workspace();
CREATE TRIGGER hoko_notify_truncate AFTER TRUNCATE ON hoko.workspaces
  FOR EACH STATEMENT EXECUTE FUNCTION hoko.notify_every_key();

-- ENABLE ALWAYS also notifies of rows from logical replication, and if session_replication_role is
-- replica.
ALTER TABLE hoko.api_keys
  ENABLE ALWAYS TRIGGER hoko_notify, ENABLE ALWAYS TRIGGER hoko_notify_update, ENABLE ALWAYS TRIGGER hoko_notify_truncate;
ALTER TABLE hoko.workspaces
  ENABLE ALWAYS TRIGGER hoko_notify, ENABLE ALWAYS TRIGGER hoko_notify_update, ENABLE ALWAYS TRIGGER hoko_notify_truncate;
