"""The queue of trainings, as a table: what a restart finds is what was."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.retrain_job import JobState, RetrainJob

if TYPE_CHECKING:
    from rtmlops_lib.store.postgres.connection import Connection

__all__ = ["RetrainJobs"]

_COLUMNS = sql.SQL(", ").join(
    sql.SQL("id::text") if f.name == "id" else sql.Identifier(f.name)
    for f in fields(RetrainJob)
)


class RetrainJobs:
    """Trainings of one schema; at most one of a model is queued or running.

    Parameters
    ----------
    connection : Connection
    schema : str
    seconds : float
        How long one call may take.
    """

    def __init__(
        self, connection: Connection, schema: str, *, seconds: float = 15.0
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._seconds = seconds
        self._table = sql.Identifier(schema, "retrain_jobs")

    def within(self, seconds: float) -> RetrainJobs:
        """Return the same queue, with another patience."""
        return RetrainJobs(self._connection, self._schema, seconds=seconds)

    def request(
        self,
        model_name: str,
        *,
        stream: str,
        kind: str = "power",
        trigger: str = "manual",
        reason: str = "",
        requested_by: str = "",
        options: Mapping[str, Any] | None = None,
        cooldown_seconds: float = 0.0,
    ) -> tuple[RetrainJob | None, float]:
        """Queue a training, unless one is open or was a moment ago.

        Returns
        -------
        job : RetrainJob or None
            The new one, or the one that is open already; None during the cooldown.
        wait_seconds : float
            0 for a new job; -1 for one that was open; else how long the cooldown,
            counted from the end of the last job, still lasts. A job that was cancelled
            cools only what nobody asks for by hand: else a monitor would undo it.
        """
        while True:
            with self._connection.within(self._seconds) as session:
                session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                job = self._one(
                    session,
                    "INSERT INTO {table} (model_name, stream, kind, trigger, reason, "
                    "requested_by, options) VALUES (%s, %s, %s, %s, %s, %s, %s) "
                    "ON CONFLICT (model_name) WHERE state IN ('queued', 'running') "
                    "DO NOTHING RETURNING {columns}",
                    (
                        model_name,
                        stream,
                        kind,
                        trigger,
                        reason,
                        requested_by,
                        json.dumps(dict(options or {})),
                    ),
                )
                if job is None:
                    # One that is open; when it ended a moment ago, there is room for
                    # ours: once more.
                    job = self._open(session, model_name)
                    if job is not None:
                        return job, -1.0
                    continue
                # Asked only now that no other job can be open: one that ended while
                # we came counts.
                wait = self._cooling(session, model_name, trigger, cooldown_seconds)
                if wait > 0:
                    session.rollback()
                    return None, wait
                session.commit()
                return job, 0.0

    def get(self, job_id: str) -> RetrainJob | None:
        """Return one job, None where there is no such."""
        try:
            wanted = str(uuid.UUID(job_id))
        except ValueError:
            return None
        with self._connection.within(self._seconds) as session:
            return self._one(
                session,
                "SELECT {columns} FROM {table} WHERE id = %s::uuid",
                (wanted,),
            )

    def newest(
        self,
        *,
        limit: int = 50,
        model_name: str | None = None,
        state: JobState | None = None,
        trigger: str | None = None,
    ) -> list[RetrainJob]:
        """Return the jobs asked for last, newest first."""
        with self._connection.within(self._seconds) as session:
            return self._all(
                session,
                "SELECT {columns} FROM {table} "
                "WHERE (%(name)s::text IS NULL OR model_name = %(name)s) "
                "AND (%(state)s::text IS NULL OR state = %(state)s) "
                "AND (%(trigger)s::text IS NULL OR trigger = %(trigger)s) "
                "ORDER BY requested_at DESC, id LIMIT %(limit)s",
                {
                    "name": model_name,
                    "state": state,
                    "trigger": trigger,
                    "limit": limit,
                },
            )

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Return how many jobs there are, by model and state."""
        with self._connection.within(self._seconds) as session:
            rows = session.rows(
                self._text(
                    "SELECT model_name, state, count(*) FROM {table} GROUP BY 1, 2"
                )
            )
        return {(name, state): count for name, state, count in rows}

    def take(
        self, worker: str, *, abandoned_seconds: float = 60.0
    ) -> RetrainJob | None:
        """Take the oldest job that waits, or whose worker gave no sign for so long.

        Two workers never get the same one.
        """
        with self._connection.within(self._seconds) as session:
            return self._one(
                session,
                "UPDATE {table} SET state = 'running', worker = %(worker)s, "
                "started_at = now(), heartbeat_at = now(), attempts = attempts + 1 "
                "WHERE id = (SELECT id FROM {table} WHERE state = 'queued' "
                "OR (state = 'running' AND heartbeat_at < "
                "now() - %(abandoned)s * interval '1 second') "
                "ORDER BY requested_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) "
                "RETURNING {columns}",
                {"worker": worker, "abandoned": abandoned_seconds},
            )

    def beat(self, job: RetrainJob, step: str | None = None) -> bool:
        """Say that the worker is alive; False when the job is no longer its own."""
        return self._change(
            job, "heartbeat_at = now(), step = coalesce(%(step)s, step)", step=step
        )

    def finish(
        self,
        job: RetrainJob,
        state: JobState,
        outcome: str,
        *,
        version: int | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        """End a job; False when it is no longer this worker's."""
        return self._change(
            job,
            "state = %(state)s, outcome = %(outcome)s, finished_at = now(), "
            "step = '', version = coalesce(%(version)s, version), "
            "detail = detail || %(detail)s::jsonb",
            state=state,
            outcome=outcome,
            version=version,
            detail=json.dumps(dict(detail or {})),
        )

    def cancel(self, job_id: str, outcome: str) -> RetrainJob | None:
        """End a job of which nothing came yet; its worker learns it with its next sign.

        Returns
        -------
        RetrainJob or None
            As it ended; None where there is no such job, where it ended before, and
            where the version that a worker registered for it is just decided about.
        """
        try:
            wanted = str(uuid.UUID(job_id))
        except ValueError:
            return None
        with self._connection.within(self._seconds) as session:
            return self._one(
                session,
                "UPDATE {table} SET state = 'cancelled', outcome = %s, step = '', "
                "finished_at = now() WHERE id = %s::uuid AND (state = 'queued' "
                "OR (state = 'running' AND version IS NULL)) RETURNING {columns}",
                (outcome, wanted),
            )

    def hand_back(self, job: RetrainJob, reason: str) -> bool:
        """Put a job back into the queue; it does not count as one of its attempts."""
        return self._change(
            job,
            "state = 'queued', worker = NULL, heartbeat_at = NULL, step = %(step)s, "
            "detail = detail || jsonb_build_object('handed_back', "
            "coalesce((detail->>'handed_back')::integer, 0) + 1)",
            step=reason,
        )

    def registered(self, job: RetrainJob, version: int) -> bool:
        """Note the version before its fate is decided: a restart finds it."""
        return self._change(job, "version = %(version)s", version=version)

    def _change(self, job: RetrainJob, change: str, **values: Any) -> bool:
        with self._connection.within(self._seconds) as session:
            touched = session.execute(
                self._text(
                    f"UPDATE {{table}} SET {change} WHERE id = %(id)s::uuid "  # noqa: S608 - constants only
                    "AND state = 'running' AND worker = %(worker)s "
                    "AND attempts = %(attempts)s"
                ),
                {
                    **values,
                    "id": job.id,
                    "worker": job.worker,
                    "attempts": job.attempts,
                },
            )
        return touched == 1

    def _cooling(
        self, session: Session, model_name: str, trigger: str, seconds: float
    ) -> float:
        if seconds <= 0:
            return 0.0
        since = session.value(
            self._text(
                "SELECT extract(epoch FROM clock_timestamp() - max(finished_at)) "
                "FROM {table} "
                "WHERE model_name = %s AND (state <> 'cancelled' OR %s <> 'manual')"
            ),
            (model_name, trigger),
        )
        return 0.0 if since is None else max(0.0, seconds - float(since))

    def _open(self, session: Session, model_name: str) -> RetrainJob | None:
        return self._one(
            session,
            "SELECT {columns} FROM {table} "
            "WHERE model_name = %s AND state IN ('queued', 'running')",
            (model_name,),
        )

    def _text(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(table=self._table, columns=_COLUMNS)

    def _one(self, session: Session, text: str, values: Any) -> RetrainJob | None:
        found = self._all(session, text, values)
        return found[0] if found else None

    def _all(self, session: Session, text: str, values: Any) -> list[RetrainJob]:
        return [RetrainJob(*row) for row in session.rows(self._text(text), values)]
