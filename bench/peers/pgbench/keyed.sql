-- Like known.sql, but each sale has a new Idempotency-Key, which ascends like the load generator's.
\set n random(0, :customers - 1)
\set tail random(8000000000000000, 8999999999999999)
SELECT * FROM bench.keyed_sale('bench', 'customer_' || lpad(:n::text, 8, '0'), 'John Doe', 'john@example.com', false,
  NULL, true, NULL, NULL, ('0' || to_hex((date_part('epoch', now()) * 1000)::bigint) || '7000' || :tail)::uuid,
  12900, 'usd', 'Invoice paid', NULL,
  'order_' || (date_part('epoch', now()) * 1000000)::bigint || :client_id,
  '\x9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08');
