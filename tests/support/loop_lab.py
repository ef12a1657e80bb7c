"""The whole loop in a corner of the live stack, with event time in a hurry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rtmlops_lib.models.aliases import move_aliases
from rtmlops_lib.models.names import model_name
from rtmlops_lib.models.pipeline import Outcome, train_power_model
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.services.drift_reference import drift_reference
from rtmlops_lib.settings import Settings
from rtmlops_lib.simulator import DatacenterSimulator, Drift, SimulatorSettings
from rtmlops_lib.store import RetrainJob
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import ColumnBatch
from tests.support.lab import Lab
from tests.support.power_rows import START
from tests.support.service import Service, service
from tests.support.waiting import wait_until

# Enough servers that a day of theirs is worth five hundred independent rows.
SERVERS, INTERVAL_SECONDS = 60, 300
HOUR = timedelta(hours=1)


def simulated(
    first: float, last: float, *, power_curve: float = 1.0, seed: int = 5
) -> ColumnBatch:
    """Return the events of some hours after ``START``, with this power curve."""
    drifts = () if power_curve == 1 else (Drift("power_curve", power_curve, START),)
    settings = SimulatorSettings(
        servers=SERVERS,
        interval_seconds=INTERVAL_SECONDS,
        seed=seed,
        drifts=drifts,
    )
    span = DatacenterSimulator(settings).span(START + first * HOUR, START + last * HOUR)
    return span.datacenter


class LoopLab(Lab):
    """Topics, tables and a model of one test's own, and the four services."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self.registry = ModelRegistry(settings.mlflow_tracking_uri)
        self.store = open_store(settings)
        self.name = model_name(settings, self.spec)
        self.sent = 0
        self.env: dict[str, str] = {
            "RTMLOPS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
            "RTMLOPS_MONITOR_POLL_SECONDS": "0.2",
            "RTMLOPS_LOG_FORMAT": "json",
            "RTMLOPS_TRAIN_AFTER_CHANGE_HOURS": "30",
            # It looks for them a hundred times in this time.
            "RTMLOPS_TRAIN_WAIT_FOR_ROWS_SECONDS": "200",
        }

    # -- services -----------------------------------------------------------------

    @contextmanager
    def running(self, *names: str, **env: str) -> Iterator[dict[str, Service]]:
        """Run services by name; they are gone afterwards."""
        commands = {
            "storage": ("consume", "storage", "--stream", "datacenter"),
            "predictor": ("consume", "predictor", "--stream", "datacenter"),
            "monitor": ("monitor", "--stream", "datacenter"),
            "trainer": ("trainer", "--stream", "datacenter", "--schedule", ""),
        }
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(
                    service(
                        self.settings,
                        self.folder / f"{name}.log",
                        *commands[name],
                        **{**self.env, **env},
                    )
                )
                for name in names
            }

    def logged(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return a service's log records of one kind."""
        found = []
        for line in (self.folder / f"{name}.log").read_text().splitlines():
            if line.startswith("{"):
                record = json.loads(line)
                if record.get("event") == event:
                    found.append(record)
        return found

    # -- the first champion -------------------------------------------------------

    def first_champion(self, hours: float) -> Outcome:
        """Store some hours and train on them what serves first."""
        self.store.backfill([simulated(0, hours)])
        outcome = self.train()
        assert outcome.promoted, outcome.gate.summary
        return outcome

    def ask(self, **options: Any) -> RetrainJob:
        """Ask for a training in the queue."""
        job, _ = self.store.retrain_jobs.request(
            self.name, stream="datacenter", options=options
        )
        assert job is not None
        return job

    def ended(self, job: RetrainJob) -> RetrainJob | None:
        """Return a job once it has ended."""
        found = self.store.retrain_jobs.get(job.id)
        assert found is not None
        return None if found.open else found

    def train(self, **changes: Any) -> Outcome:
        frame, flagged = rows_of_store(self.store, self.spec, since=START)
        return train_power_model(
            self.registry,
            self.store,
            self.name,
            self.spec,
            frame,
            flagged=flagged,
            settings=PowerSettings(**{"trees": 40, **changes}),
            beside=drift_reference(
                self.spec, window_seconds=self.settings.monitor_window_seconds
            ),
        )

    def move(self, decide: Any) -> None:
        move_aliases(self.registry, self.store, self.name, decide)

    # -- what became of it --------------------------------------------------------

    def windows(self, kind: str) -> list[dict[str, Any]]:
        """Return the verdicts of one kind in order of time."""
        found = self.store.drift_reports.list(kind=kind, limit=1_000, with_reports=True)
        return found.sort_values("window_end").to_dict("records")

    def judged_until(self) -> datetime | None:
        """Return the end of the newest window whose errors were looked at."""
        schema = self.settings.database_schema
        ((end,),) = self.sql(
            f"SELECT max(window_end) FROM {schema}.drift_reports WHERE kind = 'error'"
        )
        return end

    def jobs(self) -> list[Any]:
        return self.store.retrain_jobs.newest()

    def mape(self, first: datetime, last: datetime) -> float:
        """Return the champion's error over some event time, whatever its version."""
        schema = self.settings.database_schema
        ((value,),) = self.sql(
            "SELECT avg(abs(p.predicted - m.power_kw) / greatest(m.power_kw, 0.05)) "
            f"FROM {schema}.predictions p JOIN {schema}.metrics m "
            "USING (server_id, time) "
            f"WHERE p.role = 'champion' AND time >= '{first}' AND time < '{last}'"
        )
        return float(value)

    def champions(self) -> list[tuple[int, Any, Any, int]]:
        """Return version, first and last event time, number of champions' rows."""
        schema = self.settings.database_schema
        return self.sql(
            "SELECT model_version, min(time), max(time), count(*) "
            f"FROM {schema}.predictions WHERE role = 'champion' GROUP BY 1 ORDER BY 2"
        )

    def last_champion(self) -> int:
        """Return whose prediction the newest event has."""
        schema = self.settings.database_schema
        return self.sql(
            f"SELECT model_version FROM {schema}.predictions "
            "WHERE role = 'champion' ORDER BY time DESC LIMIT 1"
        )[0][0]

    def served(self) -> list[tuple[str, int, int, float]]:
        """Return role, version, number of rows and error of all predictions."""
        found = self.store.live_error(self.spec, self.name, since=START)
        names = ["role", "model_version", "rows", "mape"]
        return list(found[names].itertuples(index=False, name=None))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return rows and distinct events: sent by the feed, stored, predicted."""
        schema = self.settings.database_schema
        stored = self.sql(
            "SELECT count(*), count(DISTINCT (server_id, time)) "
            f"FROM {schema}.metrics WHERE kafka_offset >= 0"
        )[0]
        predicted = self.sql(
            "SELECT count(*), count(DISTINCT (server_id, time)) "
            f"FROM {schema}.predictions WHERE role = 'champion'"
        )[0]
        sent = (self.sent, self.sent)
        return {"sent": sent, "stored": stored, "predicted": predicted}

    @property
    def all_is_done(self) -> bool:
        """Whether what was sent is stored and predicted, each once."""
        counts = self.counts()
        return counts["sent"] == counts["stored"] == counts["predicted"]

    def alert_is_open(self, kind: str) -> bool:
        found = self.store.alerts.newest(open_only=True)
        return bool((found["kind"] == kind).any())

    def wait_until_reading(self, *names: str) -> None:
        """Wait until these consumers read every partition."""

        def reading(name: str) -> bool:
            return len(self.logged(name, "reading_from")) >= self.spec.partitions

        for name in names:
            wait_until(partial(reading, name), timeout=60, what=f"{name} reads")


# Seconds an hour of events takes: while they are waited for, and while others work.
FAST, SLOW = 0.2, 2.0


class Feed:
    """Sends hours of events, in a hurry, from a thread of its own.

    Parameters
    ----------
    lab : LoopLab
    hour : float
        Where it begins, in hours after ``START``.
    power_curve : float
        Of the world; change the attribute, and the world changes.
    seconds_an_hour : float
        Change the attribute to change the pace.
    ahead : float, optional
        So many hours beyond the last window that the monitor judged it waits: what is
        asserted in event time must not depend on how busy the machine is.
    """

    STEP = 0.25

    def __init__(
        self,
        lab: LoopLab,
        hour: float,
        *,
        power_curve: float = 1.0,
        seconds_an_hour: float = FAST,
        ahead: float | None = None,
    ) -> None:
        self.hour = hour
        self.power_curve = power_curve
        self.seconds_an_hour = seconds_an_hour
        self.ahead = ahead
        self._lab = lab
        self._first = hour
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sending, and wait until what was begun is sent."""
        self._stop.set()
        self._thread.join(30)

    @property
    def moment(self) -> datetime:
        """The event time that is reached."""
        return START + self.hour * HOUR

    def wait_until(self, hour: float) -> None:
        """Wait until this hour is sent."""
        wait_until(lambda: self.hour >= hour, timeout=180, what=f"hour {hour:g}")

    def change(self, power_curve: float) -> float:
        """Change the world from the next event on; return the hour."""
        # What is being sent now still belongs to the old one.
        at = self.hour + self.STEP
        self.power_curve = power_curve
        return at

    def _work(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            end = self.hour + self.STEP
            if self._too_far(end):
                self._stop.wait(0.05)
                continue
            batch = simulated(self.hour, end, power_curve=self.power_curve)
            self._lab.produce(_records(batch))
            self._lab.sent += len(batch)
            self.hour = end
            spent = time.monotonic() - begun
            self._stop.wait(max(0.0, self.STEP * self.seconds_an_hour - spent))

    def _too_far(self, hour: float) -> bool:
        ahead = self.ahead  # read once: the test may change it meanwhile
        if ahead is None:
            return False
        judged = self._lab.judged_until()
        reached = self._first if judged is None else (judged - START) / HOUR
        # The first window is the one that the events' beginning lies in.
        return hour > max(reached, self._first) + ahead


def _records(batch: ColumnBatch) -> Iterator[tuple[bytes, bytes]]:
    frame = batch.to_frame()
    for row in frame.to_dict("records"):
        row = {k: v for k, v in row.items() if v == v and v is not None}
        row["time"] = row["time"].isoformat().replace("+00:00", "Z")
        yield str(row["server_id"]).encode(), json.dumps(row).encode()
