-- The sale of request.json to a known customer, which it leaves unchanged.
\set n random(0, :customers - 1)
-- The sale's ID is a UUIDv7: the time in milliseconds, then this random part.
\set tail random(8000000000000000, 8999999999999999)
SELECT * FROM bench.sale('bench', 'customer_' || lpad(:n::text, 8, '0'), 'John Doe', 'john@example.com', false,
  NULL, true, NULL, NULL, ('0' || to_hex((date_part('epoch', now()) * 1000)::bigint) || '7000' || :tail)::uuid,
  12900, 'usd', 'Invoice paid', NULL);
