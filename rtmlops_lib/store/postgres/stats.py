"""Numbers about the tables, from the catalogue: cheap at any size."""

from __future__ import annotations

import pandas as pd

from rtmlops_lib.store.postgres.capabilities import capabilities
from rtmlops_lib.store.postgres.session import Session

__all__ = ["stats"]

# A hypertable's rows are in its chunks, a plain table is its own only member.
_PLAIN = """
    SELECT c.relname AS table_name,
           sum(greatest(m.reltuples, s.n_live_tup, 0))::bigint AS rows_estimate,
           sum(coalesce(s.n_dead_tup, 0))::bigint AS dead_rows,
           sum(pg_total_relation_size(m.oid))::bigint AS bytes,
           count(*) FILTER (WHERE m.oid <> c.oid) AS chunks
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT c.oid UNION ALL
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid
    ) AS member
    JOIN pg_catalog.pg_class AS m ON m.oid = member.oid
    LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = m.oid
    WHERE n.nspname = %s AND c.relkind = 'r'
    GROUP BY c.relname ORDER BY c.relname
"""
_COMPRESSED = """
    SELECT hypertable_name, count(*) FILTER (WHERE is_compressed),
           min(range_start), max(range_end)
    FROM timescaledb_information.chunks WHERE hypertable_schema = %s
    GROUP BY hypertable_name
"""


def stats(session: Session, schema: str) -> pd.DataFrame:
    """Return a row a table: rows_estimate, dead_rows, bytes, chunks and more.

    ``compressed_chunks``, ``oldest`` and ``newest`` describe a hypertable's chunks.
    """
    rows = session.rows(_PLAIN, (schema,))
    table = pd.DataFrame(rows, columns=list(session.names()))
    table["dead_rows"] = table["dead_rows"].astype("int64")
    known: dict[str, tuple[object, ...]] = {}
    if capabilities(session).timescale_schema is not None:
        known = {row[0]: row[1:] for row in session.rows(_COMPRESSED, (schema,))}
    none = (0, None, None)
    details = [known.get(name, none) for name in table["table_name"]]
    for place, column in enumerate(("compressed_chunks", "oldest", "newest")):
        table[column] = [detail[place] for detail in details]
    return table
