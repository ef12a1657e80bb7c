from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rtmlops_lib.simulator import DatacenterSimulator, SimulatedChunk, SimulatorSettings
from rtmlops_lib.streams import ColumnBatch

# A Monday.
START = datetime(2025, 9, 1, tzinfo=UTC)


class Run:
    """A whole run in hand, with fields as (steps, members) arrays."""

    def __init__(self, settings: SimulatorSettings, chunks: list[SimulatedChunk]):
        self.settings = settings
        self.simulator = DatacenterSimulator(settings)
        self.fleet = self.simulator.fleet
        self.datacenter = ColumnBatch.concat([c.datacenter for c in chunks])
        self.services = ColumnBatch.concat([c.services for c in chunks])
        self.labels = ColumnBatch.concat([c.labels for c in chunks])

    def servers(self, field: str) -> np.ndarray:
        return self.datacenter.columns[field].reshape(-1, len(self.fleet))

    def instances(self, field: str) -> np.ndarray:
        return self.services.columns[field].reshape(-1, len(self.fleet.services))

    @property
    def time(self) -> np.ndarray:
        return self.datacenter.time.reshape(-1, len(self.fleet))[:, 0]


@pytest.fixture
def simulate() -> Callable[..., Run]:
    def run(
        *,
        start: datetime = START,
        hours: float = 24,
        chunk_steps: int = 128,
        **settings: object,
    ) -> Run:
        chosen = SimulatorSettings(**{"servers": 6, "anomaly_prob": 0.0, **settings})
        chunks = DatacenterSimulator(chosen).chunks(
            start, start + timedelta(hours=hours), chunk_steps=chunk_steps
        )
        return Run(chosen, list(chunks))

    return run


@pytest.fixture(scope="session")
def start() -> datetime:
    return START
