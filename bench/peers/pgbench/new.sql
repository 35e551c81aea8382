-- Like known.sql, but each sale has a new customer. It is attributed by a click, for lack of a
-- lead.
\set n random(0, :customers - 1)
\set tail random(8000000000000000, 8999999999999999)
SELECT * FROM bench.sale('bench', 'new_' || :tail, 'John Doe', 'john@example.com', false, NULL, true,
  NULL, 'click_' || lpad(:n::text, 8, '0'),
  ('0' || to_hex((date_part('epoch', now()) * 1000)::bigint) || '7000' || :tail)::uuid,
  12900, 'usd', 'Invoice paid', NULL);
