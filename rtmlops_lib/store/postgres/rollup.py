"""Roll-ups: by hand on plain PostgreSQL, by refreshing on TimescaleDB.

By hand: every write notes the minutes it touched, in its own transaction
(``rollup_dirty``). A roll-up takes notes and events from one snapshot; whoever commits
later has left notes that the next one finds, so no event is ever missed and no writer
ever waits.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg2 import sql

from rtmlops_lib.store.postgres import ddl
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.streams import StreamSpec

__all__ = ["closed_before", "is_by_hand", "refresh", "roll_up"]

# A minute stays open for one more, since events are on their way.
GRACE = timedelta(minutes=1)


def closed_before(now: datetime) -> datetime:
    """Return the end of the newest closed minute."""
    return (now - GRACE).replace(second=0, microsecond=0)


def is_by_hand(session: Session, schema: str, spec: StreamSpec) -> bool:
    """Return whether the roll-ups are tables of ours."""
    name = f'"{schema}"."{spec.table}_1m_data"'
    return session.value("SELECT to_regclass(%s)", (name,)) is not None


def refresh(
    session: Session,
    schema: str,
    spec: StreamSpec,
    functions: str,
    now: datetime,
    dropped: datetime | None,
) -> None:
    """Let TimescaleDB roll up what changed since ``dropped``; minutes first.

    Before that time the events are gone, and rolling up again would forget them.
    """
    minute = closed_before(now)
    for suffix, until in (("1m", minute), ("1h", minute.replace(minute=0))):
        if dropped is not None and until - dropped < timedelta(hours=1):
            continue
        session.execute(
            sql.SQL("CALL {}({}::regclass, %s::timestamptz, %s::timestamptz)").format(
                sql.Identifier(functions, "refresh_continuous_aggregate"),
                sql.Literal(f'"{schema}"."{spec.table}_{suffix}"'),
            ),
            (dropped, until),
        )


def roll_up(
    session: Session,
    schema: str,
    spec: StreamSpec,
    now: datetime,
    dropped: datetime | None,
) -> int:
    """Roll up every noted minute that is closed; return how many there were."""
    until = closed_before(now)
    work = _RollUp(session, schema, spec)
    if dropped is not None:
        # Their events are gone; the roll-ups keep what they have.
        work.forget(dropped)
    total = 0
    while (day := work.next_day(until)) is not None:
        total += work.minutes_of(day, until)
    work.advance(until)
    return total


class _RollUp:
    def __init__(self, session: Session, schema: str, spec: StreamSpec) -> None:
        self._session = session
        self._schema = schema
        self._spec = spec
        table = session.names_of(f'"{schema}"."{spec.table}_1m_data"')
        fields = [f for f in spec.numeric_fields if f"{f}_sum" in table]
        self._fields = fields
        self._columns = sql.SQL(", ").join(
            map(sql.Identifier, ddl.rollup_columns(spec, fields))
        )

    def _table(self, suffix: str = "") -> sql.Identifier:
        return sql.Identifier(self._schema, f"{self._spec.table}{suffix}")

    def _shared(self, text: str) -> sql.Composable:
        return sql.SQL(text).format(schema=sql.Identifier(self._schema))

    def forget(self, dropped: datetime) -> None:
        self._session.execute(
            self._shared(
                "DELETE FROM {schema}.rollup_dirty "
                "WHERE table_name = %s AND bucket < %s"
            ),
            (self._spec.table, dropped),
        )

    def next_day(self, until: datetime) -> datetime | None:
        found: datetime | None = self._session.value(
            self._shared(
                "SELECT date_trunc('day', min(bucket), 'UTC') "
                "FROM {schema}.rollup_dirty WHERE table_name = %s AND bucket < %s"
            ),
            (self._spec.table, until),
        )
        return found

    def minutes_of(self, day: datetime, until: datetime) -> int:
        """Roll up one day's noted minutes, and again the hours they belong to."""
        session, spec = self._session, self._spec
        until = min(until, day + timedelta(days=1))
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        rows = session.rows(
            self._shared(
                "WITH taken AS (DELETE FROM {schema}.rollup_dirty WHERE "
                "table_name = %s AND bucket >= %s AND bucket < %s RETURNING bucket) "
                "SELECT DISTINCT bucket FROM taken ORDER BY bucket"
            ),
            (spec.table, day, until),
        )
        minutes = [row[0] for row in rows]
        self._replace("_1m_data", 1, "", spec.time.field, minutes)
        hours_until = self._state("hours_until")
        hours = sorted({_hour(m) for m in minutes if _hour(m) < hours_until})
        self._replace("_1h_data", 60, "_1m_data", "bucket", hours)
        session.execute("COMMIT")
        return len(minutes)

    def _replace(
        self,
        target: str,
        width_minutes: int,
        source: str,
        time: str,
        buckets: list[datetime],
    ) -> None:
        if not buckets:
            return
        width = timedelta(minutes=width_minutes)
        self._session.execute(
            sql.SQL("DELETE FROM {} WHERE bucket = ANY (%s)").format(
                self._table(target)
            ),
            (buckets,),
        )
        unit = sql.Literal("hour" if width_minutes > 1 else "minute")
        rows = sql.SQL(
            "{source} WHERE {time} >= {first} AND {time} < {last} "
            "AND date_trunc({unit}, {time}, 'UTC') = ANY ({buckets})"
        ).format(
            source=self._table(source),
            time=sql.Identifier(time),
            first=sql.Literal(buckets[0]),
            last=sql.Literal(buckets[-1] + width),
            unit=unit,
            buckets=sql.Literal(buckets),
        )
        self._insert(target, width_minutes, rows)

    def _insert(self, target: str, width_minutes: int, rows: sql.Composable) -> None:
        self._session.execute(
            sql.SQL(
                "INSERT INTO {} ({columns}) SELECT {columns} FROM ({}) AS r"
            ).format(
                self._table(target),
                ddl.grouped(self._spec, self._fields, width_minutes, rows),
                columns=self._columns,
            )
        )

    def advance(self, until: datetime) -> None:
        """Move the marks up to which the views read roll-ups; add the new hours."""
        hours = until.replace(minute=0)
        self._session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = self._state("hours_until")
        if hours > before:
            rows = sql.SQL("{} WHERE bucket >= {} AND bucket < {}").format(
                self._table("_1m_data"),
                sql.Literal(before),
                sql.Literal(hours),
            )
            self._insert("_1h_data", 60, rows)
        self._session.execute(
            self._shared(
                "UPDATE {schema}.rollup_state SET "
                "minutes_until = greatest(minutes_until, %s), "
                "hours_until = greatest(hours_until, %s) WHERE table_name = %s"
            ),
            (until, hours, self._spec.table),
        )
        self._session.execute("COMMIT")

    def _state(self, column: str) -> datetime:
        found = self._session.value(
            sql.SQL(
                "SELECT greatest({}, '0001-01-02'::timestamptz) FROM {} "
                "WHERE table_name = %s"
            ).format(
                sql.Identifier(column), sql.Identifier(self._schema, "rollup_state")
            ),
            (self._spec.table,),
        )
        # The row is written with the tables; without it nothing counts as rolled up.
        return found or datetime(1, 1, 2, tzinfo=UTC)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0)
