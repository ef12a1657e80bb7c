"""Simulated fleets for drift: steady ones, shifted ones, renewed ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd

from rtmlops_lib.models.pipeline import reference_sample
from rtmlops_lib.monitoring import Calibration, DriftJudge, DriftVerdict
from rtmlops_lib.simulator import DatacenterSimulator, Drift, SimulatorSettings
from rtmlops_lib.streams import builtin_specs

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPEC = builtin_specs()["datacenter"]
FEATURES = SPEC.numeric_fields
# A generation unlike those of the simulator: frugal at rest, hungry under load.
NEW_GENERATION = {"idle_kw": 0.25, "max_kw": 3.6, "exponent": 1.8}


def rows_of(
    profile: str,
    seed: int,
    start: datetime,
    days: float,
    *,
    drifts: tuple[Drift, ...] = (),
    servers: int | None = None,
    renewed: slice | None = None,
    interval_seconds: float = 300,
) -> pd.DataFrame:
    """Return a fleet's readings; ``renewed`` servers are of the new generation."""
    settings = SimulatorSettings.of_profile(
        profile,
        seed=seed,
        servers=servers,
        interval_seconds=interval_seconds,
        drifts=drifts,
    )
    simulator = DatacenterSimulator(settings)
    if renewed is not None:
        for name, value in NEW_GENERATION.items():
            getattr(simulator.fleet, name)[renewed] = value
    end = start + timedelta(days=days)
    parts = [
        chunk.datacenter.to_frame()
        for chunk in simulator.chunks(start, end, chunk_steps=2_048)
    ]
    return pd.concat(parts, ignore_index=True)


def calibrated(reference: pd.DataFrame, **more: object) -> Calibration:
    """Return what training would hand over, calibrated for hourly windows."""
    return Calibration.of_frame(
        reference_sample(reference, SPEC, 50_000),
        window=HOUR,
        features=FEATURES,
        time_column="time",
        series_column="server_id",
        **more,
    )


def hourly(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the frame's hours, in order."""
    for _, window in frame.groupby(frame["time"].dt.floor("h"), sort=True):
        yield window


def verdicts(judge: DriftJudge, frame: pd.DataFrame) -> list[DriftVerdict]:
    """Judge hour after hour."""
    return [judge.judge(window) for window in hourly(frame)]
