-- The data of `caddy hoko dev`. Existing rows stay as they are, but a disabled workspace is
-- enabled for the printed command. Rows of other workspaces are neither read nor written.
INSERT INTO hoko.workspaces (id, name) VALUES ('hoko_dev', 'Demo') ON CONFLICT DO NOTHING;
UPDATE hoko.workspaces SET disabled_at = NULL WHERE id = 'hoko_dev' AND disabled_at IS NOT NULL;
INSERT INTO hoko.links (id, workspace_id, url, short_url, title, utm)
VALUES ('hoko_dev_link', 'hoko_dev', 'https://example.com', 'https://hoko.to/abc123', 'A demo link',
  '{"source": "demo"}')
ON CONFLICT DO NOTHING;
INSERT INTO hoko.clicks (id, workspace_id, link_id) VALUES ('hoko_dev_click', 'hoko_dev', 'hoko_dev_link')
ON CONFLICT DO NOTHING;
INSERT INTO hoko.customers (id, workspace_id, external_id, name, email)
VALUES ('hoko_dev_customer', 'hoko_dev', 'customer_123', 'John Doe', 'john@example.com')
ON CONFLICT DO NOTHING;
INSERT INTO hoko.leads (id, workspace_id, customer_id, click_id, link_id, event_name)
VALUES ('hoko_dev_lead', 'hoko_dev', 'hoko_dev_customer', 'hoko_dev_click', 'hoko_dev_link', 'Sign up')
ON CONFLICT DO NOTHING;
