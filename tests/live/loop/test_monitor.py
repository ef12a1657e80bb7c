"""What the monitor says of windows, and what it does about it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtmlops_lib.models.aliases import Move
from rtmlops_lib.models.hot_models import ServedModel
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.monitoring import DriftVerdict
from rtmlops_lib.services.monitor_metrics import MonitorMetrics
from rtmlops_lib.services.predictor import predictions
from rtmlops_lib.services.stream_monitor import StreamMonitor
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import ColumnBatch, prediction_spec
from tests.support.loop_lab import HOUR, LoopLab, simulated
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import START
from tests.support.service import command, environment

pytestmark = [pytest.mark.live, pytest.mark.slow]

LEARNED = 30.0


class Watched:
    """A champion, and hours of events that it predicted, without the services."""

    def __init__(self, lab: LoopLab) -> None:
        self.lab = lab
        lab.store.backfill([simulated(0, LEARNED)])
        outcome = lab.train(trees=15)
        assert outcome.promoted, outcome.gate.summary
        self.champion: PowerModel = outcome.trained.model
        self.version = lab.registry.version(lab.name, 1)
        self.hour = LEARNED
        self.metrics = MonitorMetrics()
        self.monitor = self.new_monitor()

    def new_monitor(self, **changes: Any) -> StreamMonitor:
        given = {"monitor_lateness_seconds": 0.0, "monitor_poll_seconds": 0.1}
        settings = Settings.model_validate(
            self.lab.settings.model_dump() | given | changes
        )
        return StreamMonitor(
            settings,
            self.lab.spec,
            ModelRegistry(settings.mlflow_tracking_uri),
            self.lab.store,
            self.metrics,
            stopping=threading.Event(),
        )

    def live(
        self,
        hours: float,
        *,
        power_curve: float = 1.0,
        watched: bool = True,
        **factors: float,
    ) -> None:
        """Let hours of events pass; ``factors`` change inputs that do no harm."""
        for _ in range(int(hours)):
            batch = simulated(self.hour, self.hour + 1, power_curve=power_curve)
            served = ServedModel("champion", self.version, self.champion)
            said = predictions(
                batch, prediction_spec(self.lab.spec), self.lab.name, [served]
            )
            self.lab.store.backfill([_scaled(batch, factors)])
            self.lab.store.backfill([said])
            self.hour += 1
            if watched:
                self.problem = self.monitor.step()
            while watched and self.monitor.behind:
                self.problem = self.monitor.step()

    def states(self, kind: str) -> list[str]:
        return [window["state"] for window in self.lab.windows(kind)]

    def alerts(self, *, open_only: bool = True) -> list[str]:
        return self.lab.store.alerts.newest(open_only=open_only)["kind"].tolist()


class Commands:
    """``rtmlops`` as a user calls it, in a lab's corner."""

    def __init__(self, lab: LoopLab) -> None:
        self._env = environment(lab.settings, COLUMNS="200")
        self._folder = lab.folder

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            command(*arguments),
            env=self._env,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr


def _scaled(batch: ColumnBatch, factors: dict[str, float]) -> ColumnBatch:
    columns = {
        name: column * factors[name] if name in factors else column
        for name, column in batch.columns.items()
    }
    return replace(batch, columns=columns)


@pytest.fixture
def watched(lab: LoopLab) -> Iterator[Watched]:
    yield Watched(lab)


def test_every_window_is_judged_once_also_by_two_monitors(watched: Watched) -> None:
    watched.live(7)
    # As after a kill: all that the new one knows is in database and registry.
    watched.monitor = watched.new_monitor()
    watched.live(7)
    for kind in ("error", "input"):
        found = watched.lab.windows(kind)
        ends = [window["window_end"] for window in found]
        assert ends == [ends[0] + n * HOUR for n in range(len(ends))], kind
        assert ends[-1] == START + (watched.hour - 1) * HOUR
        # Each remembers what the one before it knew.
        for former, report in zip(found, found[1:], strict=False):
            assert report["report"]["before"] == former["report"]["after"]
    assert set(watched.states("error")) <= {"stable", "unknown"}
    assert watched.states("error")[-3:] == ["stable"] * 3
    assert watched.alerts(open_only=False) == []
    assert watched.lab.jobs() == []


def test_between_windows_that_wait_the_probation_is_looked_at(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    while not watched.lab.windows("error"):
        watched.live(1)
    watched.live(6, watched=False)
    # A turn's time is over with the first window.
    watched.monitor = watched.new_monitor(monitor_poll_seconds=0.001)
    looks: list[int] = []
    look = watched.monitor._probation.step

    def counted(*arguments: Any) -> Any:
        looks.append(len(watched.lab.windows("error")))
        return look(*arguments)

    monkeypatch.setattr(watched.monitor._probation, "step", counted)
    behind = []
    while not behind or behind[-1]:
        assert watched.monitor.step() is None
        behind.append(watched.monitor.behind)
    assert len(looks) >= 6
    # One more window was judged before each look.
    assert looks == [looks[0] + n for n in range(len(looks))]
    assert behind == [True] * (len(looks) - 1) + [False]


def test_a_fleet_too_small_for_a_verdict_on_its_error_says_what_helps(
    lab: LoopLab,
) -> None:
    few = [f"srv-{number:02d}" for number in range(1, 11)]
    hours = simulated(0, 18)
    lab.store.backfill([hours.take(np.isin(hours.columns["server_id"], few))])
    outcome = lab.train(trees=5)
    # So few rows may not make a model that passes the gate.
    lab.move(Move.promote(1, forced=True, reason="for the test"))
    tag = outcome.version.tags["reference_lacks"]
    assert "independent errors, 500 are needed; train on" in tag
    monitor = StreamMonitor(
        lab.settings,
        lab.spec,
        lab.registry,
        lab.store,
        MonitorMetrics(),
        stopping=threading.Event(),
    )
    # Ready, for it watches the inputs; but nobody shall wait for a retraining.
    assert monitor.step() is None
    (note,) = monitor.notes
    assert note.startswith(f"the live error of {lab.name} v1 is never judged")
    assert tag in note


def test_a_grown_error_asks_for_one_training_and_ends_when_it_is_back(
    watched: Watched,
) -> None:
    watched.live(8)
    changed = START + watched.hour * HOUR
    watched.live(5, power_curve=1.2)
    assert watched.states("error")[-1] == "drift"
    assert watched.alerts() == ["model_error"]
    (job,) = watched.lab.jobs()
    found = datetime.fromisoformat(job.options["change_point"])
    assert abs(found - changed) <= timedelta(minutes=15)
    watched.monitor = watched.new_monitor()
    watched.live(1, power_curve=1.2)
    assert len(watched.lab.jobs()) == 1, "the new monitor asked again"
    taken = watched.lab.store.retrain_jobs.take("w")
    assert taken is not None
    watched.lab.store.retrain_jobs.finish(taken, "refused", "for the test")
    watched.live(1, power_curve=1.2)
    assert len(watched.lab.jobs()) == 1, "the cooldown was not honoured"
    labels = {"stream": "datacenter", "model": watched.lab.name}
    value = watched.metrics.registry.get_sample_value
    assert value("rtmlops_drift_state", {**labels, "kind": "error"}) == 2
    cooled = value("rtmlops_retrain_requests_total", {**labels, "result": "cooldown"})
    assert cooled == 1
    served = {**labels, "role": "champion", "version": "1"}
    assert (value("rtmlops_live_error_mape", served) or 0) > 0.1
    # Hysteresis: one good window is not enough, five of them are.
    watched.live(2)
    assert watched.alerts() == ["model_error"]
    watched.live(5)
    assert watched.alerts() == []


def test_a_kill_between_verdict_and_alert_costs_no_alert(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    watched.live(8)
    monkeypatch.setattr(watched.monitor, "_alert", dies)
    with pytest.raises(Killed):
        watched.live(5, power_curve=1.2)
    assert watched.states("error")[-1] == "drift"
    assert watched.alerts() == [] and watched.lab.jobs() == []
    watched.monitor = watched.new_monitor()
    assert watched.monitor.step() is None
    assert watched.alerts() == ["model_error"]
    assert len(watched.lab.jobs()) == 1


def test_a_grown_error_is_shown_explained_drawn_and_judged_again_by_the_commands(
    watched: Watched, tmp_path: Path
) -> None:
    watched.live(8)
    changed = START + watched.hour * HOUR
    watched.live(5, power_curve=1.2)
    rtmlops = Commands(watched.lab)
    shown = json.loads(rtmlops("drift", "status", "--json"))
    # Two of each window, newest first.
    assert len(shown) == 20
    ends = [datetime.fromisoformat(row["window_end"]) for row in shown]
    assert ends == sorted(ends, reverse=True)
    newest = next(row for row in shown if row["kind"] == "error")
    assert (newest["state"], newest["model_version"]) == ("drift", 1)
    assert "percentage error" in newest["reason"]
    limited = json.loads(rtmlops("drift", "status", "--limit", "3", "--json"))
    assert limited == shown[:3]
    text = rtmlops("drift", "status")
    assert str(newest["id"]) in text
    assert f"error of {watched.lab.name} v1: drift: percentage error" in text

    picture = tmp_path / "drift.png"
    told = rtmlops("drift", "explain", str(newest["id"]), "--figure", str(picture))
    assert "judged again from the stored numbers: drift" in told
    assert "percentage error" in told and "the error began to grow at" in told
    assert picture.read_bytes().startswith(b"\x89PNG")
    plain = json.loads(rtmlops("drift", "explain", str(newest["id"]), "--json"))
    assert (plain["state"], plain["replayed"]) == ("drift", "drift")
    assert plain["report"]["served"][0]["role"] == "champion"
    found = datetime.fromisoformat(plain["report"]["change_point"])
    assert abs(found - changed) <= timedelta(minutes=15)
    # Every report is whole: each is judged again to what it was.
    for kind in ("error", "input"):
        for row in watched.lab.windows(kind):
            verdict = DriftVerdict.from_dict(row["report"])
            assert verdict.replay().state == row["state"], row["id"]
    calm = next(row for row in shown if row["kind"] == "input")
    told = rtmlops("drift", "explain", str(calm["id"]), "--figure", f"{picture}.svg")
    assert "cpu_usage" in told
    missing = rtmlops("drift", "explain", "999999", code=2)
    assert "there is no drift report 999999" in missing
    assert "drift status" in missing


def test_drift_of_inputs_without_a_grown_error_warns_and_retrains_nothing(
    watched: Watched,
) -> None:
    watched.live(14)
    watched.live(24, network_gbps=3.0, disk_io_mbps=3.0)
    assert "drift" in watched.states("input"), watched.states("input")
    assert "drift" not in watched.states("error")
    assert "model_input" in watched.alerts(open_only=False)
    assert watched.lab.jobs() == []


def test_mlflow_away_leaves_the_watch_on_the_reference_that_is_known(
    watched: Watched, mlflow: MlflowServer
) -> None:
    watched.live(3)
    mlflow.stop()
    try:
        watched.live(1)
        assert watched.problem is not None and "MLflow" in watched.problem
        # As after a restart: the reference is on disk, checked.
        watched.monitor = watched.new_monitor()
        watched.live(2)
        assert watched.problem is not None and "MLflow" in watched.problem
    finally:
        mlflow.start()
    found = watched.lab.windows("error")
    assert found[-1]["window_end"] == START + (watched.hour - 1) * HOUR
    assert found[-1]["model_version"] == 1
    watched.live(1)
    assert watched.problem is None


def test_a_changed_reference_is_refused_by_name(watched: Watched) -> None:
    watched.live(2)
    (file,) = watched.lab.settings.home.glob("references/*/*/calibration.json")
    file.write_text(file.read_text().replace("0", "1", 1))
    watched.monitor = watched.new_monitor()
    watched.live(1)
    assert watched.problem is not None and "sha256" in watched.problem
    assert watched.states("error")[-1] == "unknown"
    # It was fetched anew by the next look: what the registry holds is whole.
    watched.monitor = watched.new_monitor()
    watched.live(1)
    assert watched.problem is None


def test_without_events_or_champion_it_says_so(lab: LoopLab) -> None:
    monitor = StreamMonitor(
        lab.settings,
        lab.spec,
        lab.registry,
        lab.store,
        MonitorMetrics(),
        stopping=threading.Event(),
    )
    assert "no stored events" in str(monitor.step())
    lab.store.backfill([simulated(0, 1)])
    assert "no champion" in str(monitor.step())
    assert lab.windows("error") == []
    assert datetime.now(UTC) > START
