-- When the owner's commands were last done. The edge only reads it, for a metric, and works without.
CREATE TABLE hoko.maintenance (
  task    text COLLATE "C" PRIMARY KEY,
  done_at timestamptz NOT NULL
);
