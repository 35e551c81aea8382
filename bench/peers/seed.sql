-- The rows that all sides use: one workspace with :customers customers, each with one click and one
-- lead. Numbers begin at 0; customer_00000042 has click_00000042. A sale with request.json leaves
-- its customer unchanged.
INSERT INTO hoko.workspaces (id, name) VALUES ('bench', 'Bench');

-- No side reaches this limit, so Redis denies nothing. The first key is for all connections, and
-- each of the others for one connection: hoko_bench_key_00000042.
INSERT INTO hoko.api_keys (id, workspace_id, name, key_hash, key_start, scopes, rate_limit, rate_period)
VALUES ('key_bench', 'bench', 'Bench', sha256('hoko_bench_key'), 'hoko_ben', '{conversionsWrite}', 6000000, '1 minute');

INSERT INTO hoko.api_keys (workspace_id, name, key_hash, key_start, scopes, rate_limit, rate_period)
SELECT 'bench', 'Bench', sha256(('hoko_bench_key_' || lpad(n::text, 8, '0'))::bytea), 'hoko_ben',
        '{conversionsWrite}', 6000000, '1 minute'
FROM generate_series(0, 255) n;

INSERT INTO hoko.links (id, workspace_id, url, short_url, title, description, image, utm,
        collection_id, partner_id, tenant_id, external_id, created_at)
VALUES ('link_xyz', 'bench', 'https://example.com', 'https://hoko.to/abc123', 'Spring sale',
        'Everything at half its price', 'https://example.com/spring.png',
        '{"source": "newsletter", "medium": "email", "campaign": "spring"}',
        '550e8400-e29b-41d4-a716-446655440000', 'partner_123', 'tenant_456', 'ext_789', '2024-01-01T00:00:00Z');

INSERT INTO hoko.clicks (id, workspace_id, link_id)
SELECT 'click_' || lpad(n::text, 8, '0'), 'bench', 'link_xyz' FROM generate_series(0, :customers - 1) n;

INSERT INTO hoko.customers (workspace_id, external_id, name, email)
SELECT 'bench', 'customer_' || lpad(n::text, 8, '0'), 'John Doe', 'john@example.com'
FROM generate_series(0, :customers - 1) n;

INSERT INTO hoko.leads (workspace_id, customer_id, click_id, link_id, event_name)
SELECT 'bench', id, 'click_' || right(external_id, 8), 'link_xyz', 'Sign up'
FROM hoko.customers WHERE workspace_id = 'bench';
