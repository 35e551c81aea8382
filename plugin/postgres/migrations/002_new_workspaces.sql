-- Inserting a workspace no longer notifies, because it has no keys yet. Replacing only the function
-- needs no lock on the table, and works if hoko.workspaces is a site's view.
CREATE OR REPLACE FUNCTION hoko.notify_workspace() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  payload text;
BEGIN
  FOREACH payload IN ARRAY CASE TG_OP WHEN 'INSERT' THEN '{}' WHEN 'DELETE' THEN ARRAY[OLD.id] ELSE ARRAY[OLD.id, NEW.id] END LOOP
    payload := 'workspace:' || payload;
    IF pg_catalog.octet_length(payload) > 7999 THEN
      payload := '';  -- more than a notification holds: every key
    END IF;
    PERFORM pg_catalog.pg_notify('hoko_keys', payload);
  END LOOP;
  RETURN NULL;
END $$;
