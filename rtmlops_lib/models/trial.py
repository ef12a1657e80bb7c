"""The detectors on a simulated fleet, held against what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.detect import (
    AnomalyForest,
    Detector,
    Evaluation,
    Label,
    Replay,
    Replayer,
    WitnessModels,
    evaluate,
    labels_of,
    precision_by_type,
    replay,
)
from rtmlops_lib.models.forest_dataset import ForestDataset
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.hot_models import ServedModel
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.simulator import DatacenterSimulator, SimulatedChunk, SimulatorSettings
from rtmlops_lib.streams import ColumnBatch, builtin_specs

__all__ = ["Trial", "run_trial", "train_witnesses"]

STREAMS = ("datacenter", "services")
START = datetime(2025, 9, 1, tzinfo=UTC)
_CHUNK_STEPS = 128


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial found.

    Parameters
    ----------
    evaluation : Evaluation
        Of the episodes of both streams together.
    streams : dict of str to Replay
        What was said of each stream's rows in the time judged.
    labels : list of Label
    """

    evaluation: Evaluation
    streams: dict[str, Replay]
    labels: list[Label]


def run_trial(
    settings: SimulatorSettings,
    *,
    days: float = 14.0,
    history_days: float = 3.0,
    models: bool = True,
    start: datetime = START,
    on_step: Callable[[str, float], None] = lambda text, share: None,
) -> Trial:
    """Let detectors watch a simulated fleet, and count what they found.

    First comes a history: on it the models are trained, as they would be, without
    labels, anomalies and all; and the detectors live through it. Then come the days
    that count. The two detectors (of servers and of services) are judged together.

    Parameters
    ----------
    settings : SimulatorSettings
    days, history_days : float
    models : bool
        Else the statistical witness is alone.
    start : datetime
        Of the history.
    on_step : callable
        Told what is done now, and which share of it has been.

    Notes
    -----
    Taught in chapter 07.

    Examples
    --------
    >>> settings = SimulatorSettings(servers=3, interval_seconds=60, seed=1,
    ...     anomaly_prob=0.05)
    >>> trial = run_trial(settings, days=1, history_days=1, models=False)
    >>> sorted(trial.streams), trial.streams["datacenter"].witnesses
    (['datacenter', 'services'], ('statistical',))
    """
    if days <= 0 or history_days <= 0:
        raise UsageError(
            f"a trial needs days to judge and a history, got {days:g} and "
            f"{history_days:g}",
            remedy="give 1 at least",
        )
    simulator = DatacenterSimulator(settings)
    begin = start + timedelta(days=history_days)
    end = begin + timedelta(days=days)
    on_step("simulating a history", 0.0)
    history = simulator.span(start, begin)
    specs = builtin_specs()
    served = {name: WitnessModels() for name in STREAMS}
    if models:
        served = train_witnesses(history, on_step)
    watchers = {}
    for name in STREAMS:
        on_step(f"living through the history of {name}", 0.0)
        detector = Detector(specs[name])
        replay(detector, _cut(_stream(history, name)), served[name])
        watchers[name] = Replayer(detector, served[name])
    del history
    labels: list[Label] = []
    done, steps = 0, simulator.steps(begin, end)
    for chunk in simulator.chunks(begin, end, chunk_steps=_CHUNK_STEPS):
        labels += labels_of(chunk.labels)
        for name, watcher in watchers.items():
            watcher.feed(_stream(chunk, name))
        done += chunk.steps
        on_step("watching the fleet", done / steps)
    rows = {name: watcher.result() for name, watcher in watchers.items()}
    since = round(begin.timestamp() * 1e6)
    own = [precision_by_type(labels, rows[name], since=since) for name in STREAMS]
    # Each type where it shows: of a server, or of one of its services.
    of_service = {label.kind for label in labels if label.service is not None}
    found = evaluate(
        labels,
        [episode for one in rows.values() for episode in one.episodes],
        step_us=settings.interval_us,
        server_days=settings.servers * days,
        since=since,
        average_precision={
            kind: own[kind in of_service].get(kind, float("nan"))
            for kind in {label.kind for label in labels}
        },
    )
    return Trial(found, rows, labels)


def train_witnesses(
    history: SimulatedChunk,
    on_step: Callable[[str, float], None] = lambda text, share: None,
    *,
    power: PowerSettings | None = None,
    forest: ForestSettings | None = None,
) -> dict[str, WitnessModels]:
    """Return the witnesses of both streams, trained on a history, without a registry.

    Parameters
    ----------
    history : SimulatedChunk
    on_step : callable
    power : PowerSettings, optional
    forest : ForestSettings, optional
    """
    power = PowerSettings() if power is None else power
    forest = ForestSettings() if forest is None else forest
    specs = builtin_specs()
    on_step("training the power model", 0.0)
    frame = history.datacenter.to_frame()
    dataset = Dataset.of_frame(frame, specs["datacenter"], power)
    train = dataset.train
    regressor = PowerModel.fit(dataset.features, train.x, train.y, power)
    forests = {}
    for name in STREAMS:
        events = _stream(history, name)
        on_step(f"training the forest of {name}", 0.0)
        rows = ForestDataset.of_frame(events.to_frame(), specs[name], forest)
        forests[name] = AnomalyForest.fit(
            specs[name].numeric_fields, rows.train, forest
        )
    return {
        name: WitnessModels(
            power=_serve(regressor) if specs[name].target else None,
            forest=_serve(forests[name]),
        )
        for name in STREAMS
    }


def _stream(chunk: SimulatedChunk, name: str) -> ColumnBatch:
    return chunk.services if name == "services" else chunk.datacenter


def _cut(batch: ColumnBatch, rows: int = 8_192) -> Iterator[ColumnBatch]:
    for start in range(0, len(batch), rows):
        yield batch.take(np.arange(start, min(start + rows, len(batch))))


def _serve(model: Any) -> ServedModel[Any]:
    return ServedModel(CHAMPION, ModelVersion("trial", 1, "", ""), model)
