"""Simulated rows to train on, small enough for a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from rtmlops_lib.models import PowerSettings
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import ColumnBatch

START = datetime(2025, 9, 1, tzinfo=UTC)
QUICK = PowerSettings(
    trees=10, max_depth=10, min_samples_leaf=3, max_train_rows=5_000, min_hours=2
)


def simulated_batch(hours: float = 48, servers: int = 6, seed: int = 5) -> ColumnBatch:
    settings = SimulatorSettings(servers=servers, interval_seconds=120, seed=seed)
    chunk = DatacenterSimulator(settings).span(START, START + timedelta(hours=hours))
    return chunk.datacenter


def simulated_frame(hours: float = 48, servers: int = 6, seed: int = 5) -> pd.DataFrame:
    frame = simulated_batch(hours, servers, seed).to_frame()
    return frame.assign(
        kafka_partition=np.zeros(len(frame), np.int32),
        kafka_offset=np.arange(len(frame)),
    )
