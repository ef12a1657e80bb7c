"""PostgreSQL, with or without TimescaleDB, as the pipeline's store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from psycopg2 import sql

from rtmlops_lib.store.anomaly_event import AnomalyEvent
from rtmlops_lib.store.contract import (
    Claim,
    Position,
    RefusedRow,
    Snapshot,
    Store,
    Takeover,
    TopicRef,
    Written,
)
from rtmlops_lib.store.postgres import (
    anomaly_events,
    backfill,
    flags,
    live_error,
    maintenance,
    migration,
    model_ledger,
    offsets,
    paired_error,
    practice,
    probes,
    reading,
    spans,
    stats,
    window_rows,
)
from rtmlops_lib.store.postgres.alert_book import AlertBook
from rtmlops_lib.store.postgres.book_retention import BookRetention
from rtmlops_lib.store.postgres.connection import Connection
from rtmlops_lib.store.postgres.drift_reports import DriftReports
from rtmlops_lib.store.postgres.probations import Probations
from rtmlops_lib.store.postgres.recompute import Recompute
from rtmlops_lib.store.postgres.retrain_jobs import RetrainJobs
from rtmlops_lib.store.postgres.writer import Beside, Writer
from rtmlops_lib.streams import (
    ColumnBatch,
    StreamSpec,
    TopicPartition,
    derived_specs,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PostgresStore"]

# Work that nobody's session waits for: migrations, roll-ups, exports.
LONG_SECONDS = 6 * 3600.0
# What somebody at a keyboard waits for.
DESK_SECONDS = 30.0
# A loop asks it between two signs of life.
PROBE_SECONDS = 15.0
# The rows of one window, or what was made of them.
WINDOW_SECONDS = 120.0
# Deleting a million rows takes some seconds.
RECOMPUTE_SECONDS = 600.0


class PostgresStore(Store):
    """Rows and offsets in one transaction (``consistency = "atomic"``).

    Parameters
    ----------
    dsn : str
        URL or key=value string. A connection pooler must pool by session.
    schema : str
        Where all tables are; ``migrate`` creates it.
    application_name : str
        How the server's views show us.
    book_seconds : float
        How long a call of ``alerts`` or ``retrain_jobs`` may take.
    keep : BookRetention, optional
        For how long ``maintain`` keeps reports, alerts and episodes.

    Attributes
    ----------
    alerts : AlertBook
    drift_reports : DriftReports
    probations : Probations
    retrain_jobs : RetrainJobs

    Notes
    -----
    Two connections: what a consume loop calls goes through one, everything else
    through the other, so that ``maintain`` and ``read`` may run on another thread.
    Taught in chapter 04.
    """

    consistency: Literal["atomic", "idempotent"] = "atomic"

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "public",
        application_name: str = "rtmlops",
        book_seconds: float = 15.0,
        keep: BookRetention | None = None,
    ) -> None:
        self.schema = schema
        self._book_seconds = book_seconds
        self._keep = BookRetention() if keep is None else keep
        self._loop = Connection(dsn, application_name=application_name)
        self._desk = Connection(dsn, application_name=application_name)
        self._writer = Writer(self._loop, schema)
        self.alerts = AlertBook(self._desk, schema, seconds=book_seconds)
        self.drift_reports = DriftReports(self._desk, schema)
        self.probations = Probations(self._desk, schema)
        self.retrain_jobs = RetrainJobs(self._desk, schema, seconds=book_seconds)

    def migrate(self, specs: Sequence[StreamSpec]) -> list[str]:
        """Bring shared tables and the specs' tables up to date; say what was done.

        With each stream's table come those that services derive from its events.
        """
        specs = _with_derived(specs)
        with self._desk.within(LONG_SECONDS) as session:
            return session.through_deadlocks(
                lambda: migration.migrate(session, self.schema, specs)
            )

    def claim(
        self,
        group: str,
        partitions: Mapping[TopicPartition, Takeover],
        *,
        with_state: bool = False,
        deadline_seconds: float = 10.0,
    ) -> dict[TopicPartition, Claim]:
        """Take partitions over."""
        with self._loop.within(deadline_seconds) as session:
            return offsets.claim(
                session, self.schema, group, partitions, with_state=with_state
            )

    def warm(self, batches: Sequence[ColumnBatch]) -> None:
        """Encode the batches for COPY."""
        self._writer.warm(batches)

    def write(
        self,
        group: str,
        batches: Sequence[ColumnBatch],
        positions: Sequence[Position],
        *,
        snapshots: Sequence[Snapshot] = (),
        anomaly_events: Sequence[AnomalyEvent] = (),
        before_commit: Callable[[Sequence[RefusedRow]], None] | None = None,
        deadline_seconds: float = 10.0,
    ) -> Written:
        """Store events and move offsets, all or nothing."""
        return self._writer.write(
            group,
            batches,
            positions,
            Beside(tuple(snapshots), tuple(anomaly_events)),
            before_commit,
            deadline_seconds,
        )

    def offsets(self, group: str | None = None) -> pd.DataFrame:
        """Return ``stream_offsets``, of one group or all."""
        with self._desk.within(DESK_SECONDS) as session:
            return reading.offsets(session, self.schema, group)

    def reset_offsets(
        self,
        group: str,
        offsets_: Mapping[TopicPartition, tuple[TopicRef, int]],
        recompute: Recompute | None = None,
    ) -> int:
        """Set a group's offsets and fence whoever holds the partitions.

        With ``recompute``, what was made of the events from there on is deleted in
        the same transaction; returned is the number of its rows.
        """
        seconds = DESK_SECONDS if recompute is None else RECOMPUTE_SECONDS
        with self._desk.within(seconds) as session:
            return offsets.reset(session, self.schema, group, offsets_, recompute)

    def read(
        self,
        spec: StreamSpec,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return stored events with ``since <= time < until``, ordered by time."""
        return reading.joined(
            spec,
            columns,
            self.read_chunks(spec, since=since, until=until, columns=columns),
        )

    def read_chunks(
        self,
        spec: StreamSpec,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
        chunk_rows: int = 50_000,
    ) -> Iterator[pd.DataFrame]:
        """Yield the same in parts, in bounded memory; one snapshot for all."""
        with self._desk.within(LONG_SECONDS) as session:
            yield from reading.chunks(
                session, self.schema, spec, since, until, columns, chunk_rows
            )

    def newest_time(
        self, spec: StreamSpec, *, since: datetime | None = None
    ) -> datetime | None:
        """Return the time of the newest stored event, None where there is none.

        With ``since`` only later ones are looked at, which is faster.
        """
        with self._desk.within(PROBE_SECONDS) as session:
            return spans.newest_time(session, self.schema, spec, since)

    def first_time(self, spec: StreamSpec, *, since: datetime) -> datetime | None:
        """Return the time of the first stored event from ``since`` on."""
        with self._desk.within(PROBE_SECONDS) as session:
            return spans.first_time(session, self.schema, spec, since)

    def row_count(
        self, spec: StreamSpec, *, since: datetime, until: datetime | None = None
    ) -> tuple[int, float]:
        """Return how many events there are, and how many seconds they span."""
        with self._desk.within(DESK_SECONDS) as session:
            return spans.row_count(session, self.schema, spec, since, until)

    def prediction_counts(
        self, spec: StreamSpec, model_name: str, *, since: datetime, until: datetime
    ) -> dict[tuple[str, int], int]:
        """Return how many events each role and version of a model predicted."""
        with self._desk.within(PROBE_SECONDS) as session:
            return spans.prediction_counts(
                session, self.schema, spec, model_name, since, until
            )

    def has_events(self, spec: StreamSpec) -> bool:
        """Return whether anything is stored of a stream."""
        with self._desk.within(self._book_seconds) as session:
            return probes.has_events(session, self.schema, spec)

    def rows_since(
        self, spec: StreamSpec, *, since: datetime, at_most: int
    ) -> tuple[int, float]:
        """Return how many events came since, and how many seconds they span.

        They are counted up to ``at_most``; the seconds are those of all.
        """
        with self._desk.within(self._book_seconds) as session:
            return probes.rows_since(session, self.schema, spec, since, at_most)

    def window_rows(
        self,
        spec: StreamSpec,
        columns: Sequence[str],
        *,
        since: datetime,
        until: datetime,
        one_series_in: int = 1,
    ) -> pd.DataFrame:
        """Return the events of a window, in no order; of one series in so many."""
        with self._desk.within(WINDOW_SECONDS) as session:
            return window_rows.window_rows(
                session, self.schema, spec, columns, since, until, one_series_in
            )

    def predicted_rows(
        self,
        spec: StreamSpec,
        model_name: str,
        role: str,
        version: int,
        *,
        since: datetime,
        until: datetime,
        one_series_in: int = 1,
    ) -> pd.DataFrame:
        """Return time, series, target and ``predicted`` of a window's events."""
        with self._desk.within(WINDOW_SECONDS) as session:
            return window_rows.predicted_rows(
                session,
                self.schema,
                spec,
                model_name,
                role,
                version,
                since,
                until,
                one_series_in,
            )

    def paired_error(
        self,
        spec: StreamSpec,
        model_name: str,
        first: tuple[str, int],
        second: tuple[str, int],
        *,
        since: datetime,
        until: datetime,
        block_seconds: float,
    ) -> pd.DataFrame:
        """Return what two models' predictions of the same events missed.

        Each is named by role and version; see ``paired_error.paired_error``.
        """
        with self._desk.within(WINDOW_SECONDS) as session:
            return paired_error.paired_error(
                session,
                self.schema,
                spec,
                model_name=model_name,
                first=first,
                second=second,
                since=since,
                until=until,
                block_seconds=block_seconds,
            )

    def maintain(self, specs: Sequence[StreamSpec]) -> dict[str, int]:
        """Roll up, apply retention; return counts by task. One runs at a time."""
        specs = _with_derived(specs)
        with self._desk.within(LONG_SECONDS) as session:
            return maintenance.maintain(session, self.schema, specs, self._keep)

    def backfill(
        self,
        batches: Iterable[ColumnBatch],
        on_progress: Callable[[int], None] = lambda rows: None,
    ) -> Written:
        """Store events that never were in Kafka; again is harmless.

        Parameters
        ----------
        batches : iterable of ColumnBatch
            Of any streams, in any order; their places become -1.
        on_progress : callable
            Told the number of events after each transaction.

        Returns
        -------
        Written
            The sums over all; conflicting events are in ``refused``.
        """
        return backfill.backfill(self._writer, batches, on_progress)

    def stats(self) -> pd.DataFrame:
        """Return size, rows, age and state of every table."""
        with self._desk.within(DESK_SECONDS) as session:
            return stats.stats(session, self.schema)

    def record_replay(self, letter_key: str, target_topic: str) -> int:
        """Count one more replay of a dead letter; return how many there were."""
        with self._desk.within(DESK_SECONDS) as session:
            return practice.record_replay(
                session, self.schema, letter_key, target_topic
            )

    def replay_counts(self, letter_keys: Iterable[str]) -> dict[str, int]:
        """Return how often each of these dead letters was replayed."""
        with self._desk.within(DESK_SECONDS) as session:
            return practice.replay_counts(session, self.schema, list(letter_keys))

    def flagged(
        self,
        spec: StreamSpec,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pd.DataFrame | None:
        """Return which events a detector flagged; None where none was ever scored."""
        with self._desk.within(LONG_SECONDS) as session:
            return flags.flagged(session, self.schema, spec, since, until)

    def model_lock(
        self, model_name: str
    ) -> AbstractContextManager[model_ledger.ModelLedger]:
        """Return the ledger of a model whose aliases only we move meanwhile."""
        return model_ledger.model_lock(self._desk, self.schema, model_name)

    def model_events(
        self, model_name: str | None = None, *, limit: int = 100
    ) -> pd.DataFrame:
        """Return what happened to models' aliases, newest first."""
        with self._desk.within(DESK_SECONDS) as session:
            return model_ledger.history(session, self.schema, model_name, limit)

    def live_error(
        self,
        spec: StreamSpec,
        model_name: str,
        *,
        since: datetime,
        until: datetime | None = None,
        window_seconds: float | None = None,
        seconds: float = DESK_SECONDS,
    ) -> pd.DataFrame:
        """Return how far stored predictions were from the target, by who made them.

        Parameters
        ----------
        spec : StreamSpec
            One with a target.
        model_name : str
        since, until : datetime
            Times of events: ``since <= time < until``; to the end by default.
        window_seconds : float, optional
            Cut the time into windows of this length, counted from the year 2000.
        seconds : float
            How long the question may take.

        Returns
        -------
        DataFrame
            Columns ``role``, ``model_version``, ``window_start`` (``since`` without
            windows), ``rows``, ``mae``, ``mape`` (a share; values near to zero count
            as ``percentage_errors`` has it), ``rmse``, ``bias`` (predicted less true),
            ``first_time``, ``last_time``. Events that were not predicted, and those
            without a value, are in none.
        """
        with self._desk.within(seconds) as session:
            return live_error.live_error(
                session, self.schema, spec, model_name, since, until, window_seconds
            )

    def anomaly_events(
        self,
        *,
        stream: str | None = None,
        since: datetime | None = None,
        open_only: bool = False,
        limit: int = 100,
    ) -> pd.DataFrame:
        """Return episodes, the last begun first; those that reach beyond ``since``."""
        with self._desk.within(DESK_SECONDS) as session:
            return anomaly_events.newest(
                session, self.schema, stream, since, open_only, limit
            )

    def answers(self, seconds: float = 5.0) -> None:
        """Ask for nothing much; raise as any call does when that is too much."""
        with self._desk.within(seconds) as session:
            session.value(
                sql.SQL("SELECT EXISTS (SELECT FROM {})").format(
                    sql.Identifier(self.schema, "retrain_jobs")
                )
            )

    def mark_practice(self, written_by: str) -> None:
        """Say that this database is for practice: chapters may reset their own."""
        with self._desk.within(DESK_SECONDS) as session:
            practice.mark(session, self.schema, written_by)

    def is_practice(self) -> bool:
        """Return whether the marker is there."""
        with self._desk.within(DESK_SECONDS) as session:
            return practice.is_marked(session, self.schema)

    def drop_schema(self, schema: str) -> None:
        """Drop a chapter's schema; refused for any other, and without the marker.

        Raises
        ------
        UsageError
            When ``schema`` is not ``chNN``, or this store's has no marker.
        """
        with self._desk.within(LONG_SECONDS) as session:
            session.through_deadlocks(
                lambda: practice.drop_schema(session, self.schema, schema)
            )

    def close(self) -> None:
        """Close connections; twice is fine."""
        self._loop.close()
        self._desk.close()


def _with_derived(specs: Sequence[StreamSpec]) -> list[StreamSpec]:
    return [table for spec in specs for table in (spec, *derived_specs(spec))]
