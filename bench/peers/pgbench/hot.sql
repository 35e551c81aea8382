-- Like known.sql, but all sales have the same customer.
\set tail random(8000000000000000, 8999999999999999)
SELECT * FROM bench.sale('bench', 'customer_00000000', 'John Doe', 'john@example.com', false,
  NULL, true, NULL, NULL, ('0' || to_hex((date_part('epoch', now()) * 1000)::bigint) || '7000' || :tail)::uuid,
  12900, 'usd', 'Invoice paid', NULL);
