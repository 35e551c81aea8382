-- Like known.sql, but each sale changes the name of its customer.
\set n random(0, :customers - 1)
\set tail random(8000000000000000, 8999999999999999)
SELECT * FROM bench.sale('bench', 'customer_' || lpad(:n::text, 8, '0'), 'John Doe ' || :tail,
  'john@example.com', false, NULL, true, NULL, NULL,
  ('0' || to_hex((date_part('epoch', now()) * 1000)::bigint) || '7000' || :tail)::uuid,
  12900, 'usd', 'Invoice paid', NULL);
