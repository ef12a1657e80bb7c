"""Arrays of physics to batches of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.simulator.chunk import SimulatedChunk
from rtmlops_lib.simulator.fleet import Fleet
from rtmlops_lib.simulator.schedule import AnomalySchedule
from rtmlops_lib.simulator.settings import SimulatorSettings
from rtmlops_lib.streams import ColumnBatch, StreamSpec, builtin_specs

__all__ = ["Assembler", "Part"]


class Part(NamedTuple):
    """Columns of the steps ``first <= step < last``, each (steps, members)."""

    first: int
    last: int
    columns: dict[str, NDArray[np.float64]]


class Assembler:
    """Gives arrays their times and names, and adds the labels."""

    def __init__(
        self, settings: SimulatorSettings, fleet: Fleet, schedule: AnomalySchedule
    ) -> None:
        self._step_us = settings.interval_us
        self._fleet = fleet
        self._schedule = schedule
        self._specs = builtin_specs()

    def chunk(self, parts: Sequence[Part], *, with_current: bool) -> SimulatedChunk:
        """Join consecutive parts.

        ``with_current`` adds the labels of the anomalies that are under way.
        """
        first, last = parts[0].first, parts[-1].last
        columns = {
            name: np.concatenate([part.columns[name] for part in parts]).reshape(-1)
            for name in parts[0].columns
        }
        fleet = self._fleet
        hosts = fleet.server_ids[fleet.service_server]
        return SimulatedChunk(
            steps=last - first,
            datacenter=self._batch(
                "datacenter", first, last, columns, {"server_id": fleet.server_ids}
            ),
            services=self._batch(
                "services",
                first,
                last,
                columns,
                {"service": fleet.services, "server_id": hosts},
            ),
            labels=self._labels(first, last, with_current),
        )

    def _batch(
        self,
        stream: str,
        first: int,
        last: int,
        columns: dict[str, NDArray[np.float64]],
        names: dict[str, NDArray[np.object_]],
    ) -> ColumnBatch:
        spec = self._specs[stream]
        width = len(next(iter(names.values())))
        time = np.arange(first, last, dtype=np.int64) * self._step_us
        data: dict[str, NDArray[Any]] = {
            name: np.tile(names[name], last - first) if name in names else columns[name]
            for name in spec.fields
        }
        return _batch(spec, np.repeat(time, width), data)

    def _labels(self, first: int, last: int, with_current: bool) -> ColumnBatch:
        begun = [
            item
            for item in self._schedule.between(first, last)
            if with_current or item.onset >= first
        ]
        begun.sort(key=lambda item: (item.onset, item.server, item.kind.name))
        names, services = self._fleet.server_ids, self._fleet.services
        columns: dict[str, NDArray[Any]] = {
            "server_id": _objects([names[item.server] for item in begun]),
            "anomaly_type": _objects([item.kind.name for item in begun]),
            "service": _objects(
                [None if i.instance is None else services[i.instance] for i in begun]
            ),
            "ended_at": np.array([i.end * self._step_us for i in begun], np.int64),
            "severity": np.array([item.severity for item in begun], np.float64),
            "metric": _objects([item.kind.metric for item in begun]),
        }
        time = np.array([item.onset * self._step_us for item in begun], np.int64)
        return _batch(self._specs["labels"], time, columns)


def _objects(values: list[Any]) -> NDArray[np.object_]:
    result = np.empty(len(values), object)
    result[:] = values
    return result


def _batch(
    spec: StreamSpec, time: NDArray[np.int64], columns: dict[str, NDArray[Any]]
) -> ColumnBatch:
    return ColumnBatch(
        spec=spec,
        time=time,
        columns=columns,
        partition=np.zeros(len(time), np.int32),
        offset=np.arange(len(time), dtype=np.int64),
    )
