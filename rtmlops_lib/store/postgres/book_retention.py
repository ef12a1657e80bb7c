"""What reports, alerts and episodes are kept for, and how they go."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session

__all__ = ["BookRetention", "drop_old"]

# Deleted in one transaction; a report is some 8 kB.
DELETE_ROWS = 5_000
# A monitor goes on from the newest reports of its model, however old they are.
NEWEST_REPORTS = 24


@dataclass(frozen=True, slots=True)
class BookRetention:
    """For how many days, by the database's clock, what services note is kept.

    Parameters
    ----------
    drift_reports : float, optional
        Since they were written; the newest of each model and kind stay. None: for ever.
    alerts : float, optional
        Since they were resolved, or acknowledged where nothing resolves them; those
        that are open stay.
    anomaly_events : float, optional
        Since an episode was last heard of.
    """

    drift_reports: float | None = 180.0
    alerts: float | None = 365.0
    anomaly_events: float | None = 365.0


# Each names first what an index leads to.
_OLD = {
    "drift_reports": (
        "checked_at < {cutoff} AND window_end < coalesce((SELECT n.window_end "
        "FROM {table} AS n WHERE (n.stream, n.model_name, n.kind) "
        "= (t.stream, t.model_name, t.kind) "
        "ORDER BY n.window_end DESC OFFSET {newest} LIMIT 1), '-infinity')"
    ),
    "alerts": (
        "raised_at < {cutoff} AND coalesce(resolved_at, "
        "CASE WHEN key IS NULL THEN acknowledged_at END) < {cutoff}"
    ),
    "anomaly_events": "started_at < {cutoff} AND updated_at < {cutoff}",
}


def drop_old(session: Session, schema: str, keep: BookRetention) -> dict[str, int]:
    """Delete what is older, in batches; return how many rows of each table."""
    return {
        f"{table}_dropped": _drop(session, schema, table, getattr(keep, table))
        for table in _OLD
    }


def _drop(session: Session, schema: str, table: str, days: float | None) -> int:
    if days is None:
        return 0
    name = sql.Identifier(schema, table)
    # The limit, a plain time, is what lets an index be used.
    cutoff = session.value("SELECT now() - %s * interval '1 day'", (days,))
    old = sql.SQL(_OLD[table]).format(
        cutoff=sql.Literal(cutoff),
        table=name,
        newest=sql.Literal(NEWEST_REPORTS - 1),
    )
    query = sql.SQL(
        "DELETE FROM {name} WHERE ctid = ANY (ARRAY("
        "SELECT t.ctid FROM {name} AS t WHERE {old} LIMIT {rows}))"
    ).format(name=name, old=old, rows=sql.Literal(DELETE_ROWS))
    total = 0
    while deleted := session.execute(query):
        total += deleted
        if deleted < DELETE_ROWS:
            break
    return total
