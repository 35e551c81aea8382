-- When keys were last used, and what the commands have changed. Not columns of hoko.api_keys, which
-- may be a site's view, and whose updates notify every edge. Without foreign keys for that reason.

-- Edges write this in bulk, and each key at most once a minute. Free space in each page (fillfactor)
-- lets updates stay in their page.
CREATE TABLE hoko.key_usage (
  key_id       text COLLATE "C" PRIMARY KEY,
  last_used_at timestamptz NOT NULL  -- in whole minutes
) WITH (fillfactor = 50);

CREATE TABLE hoko.audit (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL DEFAULT now(),
  database_user text NOT NULL DEFAULT session_user,  -- who has logged in to Postgres
  os_user       text NOT NULL,                       -- who has run the command, such as alice@bastion
  command       text NOT NULL,                       -- such as keys revoke
  workspace_id  text COLLATE "C",
  key_id        text COLLATE "C",
  details       jsonb NOT NULL DEFAULT '{}'          -- what has changed
);

-- Revokes a key for a role that may change nothing else of it: in an emergency, the edge's role has
-- to be enough. Returns when the key was revoked, null if there is no such key. A key that is
-- revoked already keeps its time.
CREATE FUNCTION hoko.revoke_key(revoked_id text, revoked_by text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  revoked record;
BEGIN
  UPDATE hoko.api_keys AS k SET revoked_at = pg_catalog.now()
  WHERE k.id::text = revoked_id AND k.revoked_at IS NULL
  RETURNING k.workspace_id::text AS workspace_id, k.revoked_at INTO revoked;
  IF NOT FOUND THEN
    RETURN (SELECT k.revoked_at FROM hoko.api_keys AS k WHERE k.id::text = revoked_id);
  END IF;
  IF EXISTS (SELECT FROM hoko.api_keys AS k WHERE k.id::text = revoked_id AND k.revoked_at IS NULL) THEN
    RAISE EXCEPTION 'a trigger of the view "api_keys" has not revoked the key'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  INSERT INTO hoko.audit (os_user, command, workspace_id, key_id)
  VALUES (revoked_by, 'keys revoke', revoked.workspace_id, revoked_id);
  RETURN revoked.revoked_at;
END $$;
REVOKE EXECUTE ON FUNCTION hoko.revoke_key(text, text) FROM PUBLIC;
