"""The whole system around a small datacenter, looked at from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.names import model_name
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.streams import ColumnBatch, builtin_specs
from rtmlops_lib.teaching._models import make_champion
from rtmlops_lib.teaching.gauges import free_port, gauges
from rtmlops_lib.teaching.history import History
from rtmlops_lib.teaching.lab import Lab
from rtmlops_lib.teaching.wait import wait_until
from rtmlops_lib.teaching.world import World

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WholeLoop"]

# Enough servers and hours that the newest fifth of the rows, on which a version
# promises its error, is worth 500 independent ones.
_SERVERS, _STEP_SECONDS, _LEARNED_HOURS = 60, 300, 30.0
_RECIPE = PowerSettings(trees=20)
_CALM = timedelta(hours=6)
# Beyond what the trainer waits for: the change lies within a step, not at its edge.
_MORE = timedelta(minutes=30)
_AFTERWARDS = timedelta(hours=8)
_STEPS_A_TURN = 4
_HURRY = {"RTMLOPS_MONITOR_POLL_SECONDS": "0.3"}
_MOMENTS = """
    WITH moments(moment, at) AS (
        SELECT 'the world changes', min(ingest_time) FROM loop_metrics
        WHERE time >= %(change)s
        UNION ALL SELECT 'alert', min(raised_at) FROM alerts
        WHERE kind = 'model_error' AND stream = 'loop'
        UNION ALL SELECT 'new version passes the gate', min(done_at) FROM model_events
        WHERE model_name = %(model)s AND alias = 'champion' AND to_version > 1
        UNION ALL SELECT 'new version predicts', min(ingest_time)
        FROM loop_predictions WHERE role = 'champion' AND model_version > 1)
    SELECT moment, extract(epoch FROM at - min(at) OVER ())::float8 AS seconds,
           (SELECT extract(epoch FROM max(time) - %(change)s)::float8 / 3600
            FROM loop_metrics WHERE ingest_time <= at) AS hours
    FROM moments WHERE at IS NOT NULL ORDER BY at
"""


class WholeLoop:
    """Storage, predictor, monitor and trainer on a stream, and what they do to it.

    The stream, its tables and its model are its own within the chapter's corner. Its
    time passes only in ``turn``, and stands still while a model is being made.

    Parameters
    ----------
    lab : Lab
        Of a chapter that asked for Kafka, the database and MLflow.
    power_factor : float
        From the seventh hour on the same load draws so many times the power.

    Notes
    -----
    Taught in chapter 01.
    """

    def __init__(self, lab: Lab, *, power_factor: float = 1.2) -> None:
        self._lab = lab
        self._factor = power_factor
        self._plain = builtin_specs()["datacenter"].evolve(
            name="loop",
            topic="loop-metrics",
            table="loop_metrics",
            rollups=False,
            watched=False,
        )
        self.spec = self._plain.evolve(topic=lab.topic(self._plain.topic))
        self.model = model_name(lab.settings, self.spec)
        self.past = History(
            hours=_LEARNED_HOURS, servers=_SERVERS, interval_seconds=_STEP_SECONDS
        )
        self.change = self.past.end + _CALM
        hours = lab.settings.train_after_change_hours
        self._enough = self.change + timedelta(hours=hours) + _MORE
        self._port = free_port()
        self._world: World | None = None
        self._served_at: datetime | None = None

    @property
    def sent(self) -> int:
        """How many events were sent since it began."""
        return 0 if self._world is None else self._world.sent

    def start(self) -> None:
        """Store what was before, train on it, start the services; ready on return."""
        lab = self._lab
        lab.store.migrate([self.spec])
        lab.admin().ensure_topics([self.spec])
        lab.store.backfill(self._before())
        make_champion(lab, _RECIPE, self.spec, since=self.past.start, watched=True)
        file = lab.folder / "loop.yaml"
        file.write_text(self._plain.to_yaml(), encoding="utf-8")
        stream, ear = ("--stream", str(file)), ("--metrics-port", str(self._port))
        for kind, more in (("storage", ()), ("predictor", ear)):
            group = ("--group", lab.group(f"loop-{kind}"))
            lab.start("consume", kind, *stream, *group, *more, name=f"loop-{kind}")
        lab.start("monitor", *stream, name="loop-monitor", settings=_HURRY)
        lab.start("trainer", *stream, "--schedule", "", name="loop-trainer")
        # The simulator knows the stream by its built-in name.
        sent = lab.specs["datacenter"].evolve(topic=self.spec.topic)
        self._world = World(self.past, lab.producer(), [sent])
        self._world.step()
        wait_until(self.all_predicted, timeout=90, what="the first predictions")

    def stop(self) -> None:
        """Stop the four services."""
        for name in ("monitor", "trainer", "predictor", "storage"):
            self._lab.stop(f"loop-{name}")

    def turn(self) -> bool:
        """Let an hour pass, or wait for a model in the making; return if all is over.

        All is over when a new version has served for eight hours.
        """
        world = self._begun()
        if self._served_at is None and world.now >= self._enough:
            if not self._new_version_serves():
                return False
            self._served_at = world.now
        if self._served_at is not None and world.now >= self._served_at + _AFTERWARDS:
            return self.all_predicted()
        for _ in range(_STEPS_A_TURN):
            if world.now == self.change:
                world.change("power_curve", self._factor)
            world.step()
        return False

    def all_predicted(self) -> bool:
        """Whether each event has its one prediction by a champion."""
        query = (
            "SELECT count(*) AS n, count(DISTINCT (server_id, time)) AS apart "
            "FROM loop_predictions WHERE role = 'champion'"
        )
        n, apart = self._lab.sql(query).iloc[0]
        return bool(n == apart == self.sent)

    def errors(self) -> pd.DataFrame:
        """Return the champion's error, a row an hour of the stream and version.

        Columns: ``hour`` (middle of the hour, since the change), ``version``,
        ``percent`` (mean absolute percentage error).
        """
        found = self._lab.store.live_error(
            self.spec, self.model, since=self.past.end, window_seconds=3600
        )
        found = found[found["role"] == "champion"]
        hours = (found["window_start"] - self.change) / timedelta(hours=1) + 0.5
        return found.assign(
            hour=hours, version=found["model_version"], percent=100 * found["mape"]
        )[["hour", "version", "percent"]]

    def moments(self) -> pd.DataFrame:
        """Return what has happened so far, in order.

        Columns: ``moment``; ``seconds`` by the clock since the change; ``hours`` that
        the stream had come by then since the change.
        """
        names = {"change": self.change, "model": self.model}
        found = self._lab.sql(_MOMENTS, names)
        found.loc[found["moment"] == "the world changes", "hours"] = 0.0
        return found

    def _before(self) -> Iterator[ColumnBatch]:
        for chunk in self.past.simulator().chunks(self.past.start, self.past.end):
            yield replace(chunk.datacenter, spec=self.spec)

    def _new_version_serves(self) -> bool:
        found = gauges(self._port, "rtmlops_model_version")
        return any("champion" in name and n > 1 for name, n in found.items())

    def _begun(self) -> World:
        if self._world is None:
            raise UsageError("the loop does not run", remedy="call start() first")
        return self._world
