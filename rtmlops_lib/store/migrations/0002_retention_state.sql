-- Before which time a table's events have been dropped: their roll-ups stay as they
-- are, whatever arrives late.
CREATE TABLE {schema}.retention_state (
    table_name text PRIMARY KEY,
    dropped_before timestamptz NOT NULL
);
