"""The predictor beside the bare call of its model."""

from __future__ import annotations

import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench
from rtmlops_lib.models import PowerSettings
from rtmlops_lib.models.dataset import Dataset
from rtmlops_lib.models.power_files import save_power
from rtmlops_lib.models.training import Trained, micros_per_row, train_power
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import builtin_specs

BATCH = 5_000
ROLES = {"champion only": ("champion",), "with challenger": ("champion", "challenger")}


def print_predictor(bench: Bench, clients: tuple[str, ...], repeat: int) -> None:
    """Print events/s with one model and with two."""
    topic = bench.preload()
    model = trained()
    bare = 1e6 / micros_per_row(model.model, model.dataset.holdout.x, BATCH)
    table = Table(title=f"Predictor, {bench.events:,} events, forest of 100 trees")
    for column in ("what", "events/s", "ratio", "peak MB"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(f"bare model call, batches of {BATCH:,}", f"{bare:,.0f}", "1.00", "")
    with tempfile.TemporaryDirectory() as folder:
        save_power(Path(folder), model, builtin_specs()["datacenter"])
        for client in clients:
            for name, roles in ROLES.items():
                runs = [
                    bench.service("predictor", client, topic, folder, *roles)
                    for _ in range(repeat)
                ]
                if any(run.rows != bench.events * len(roles) for run in runs):
                    raise SystemExit(f"{client}, {name}: not one row an event and role")
                speed = statistics.median(run.events_per_second for run in runs)
                table.add_row(
                    f"{client}: {name}",
                    f"{speed:,.0f}",
                    f"{speed * len(roles) / bare:.2f} of bare",
                    f"{max(run.peak_mb for run in runs):.0f}",
                )
    Console().print(table)


def simulated_frame() -> pd.DataFrame:
    """Return three days of 20 servers, as a table of events has them."""
    begin = datetime(2025, 9, 1, tzinfo=UTC)
    simulator = DatacenterSimulator(
        SimulatorSettings(servers=20, interval_seconds=60, seed=1)
    )
    frame = simulator.span(begin, begin + timedelta(days=3)).datacenter.to_frame()
    return frame.assign(
        kafka_partition=np.zeros(len(frame), np.int32),
        kafka_offset=np.arange(len(frame)),
    )


def trained() -> Trained:
    """Return the default model, trained on these."""
    settings = PowerSettings()
    spec = builtin_specs()["datacenter"]
    dataset = Dataset.of_frame(simulated_frame(), spec, settings)
    return train_power(dataset, settings)
