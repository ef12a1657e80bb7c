"""The detector beside the bare call of its models, with and without them."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench
from benchmarks.predictor import simulated_frame, trained
from rtmlops_lib.models.detect.forest import AnomalyForest
from rtmlops_lib.models.forest_dataset import ForestDataset
from rtmlops_lib.models.forest_files import save_forest
from rtmlops_lib.models.forest_settings import ForestSettings
from rtmlops_lib.models.power_files import save_power
from rtmlops_lib.models.training import micros_per_row
from rtmlops_lib.streams import builtin_specs

BATCH = 5_000


def print_detector(bench: Bench, clients: tuple[str, ...], repeat: int) -> None:
    """Print events/s of the series' own past alone, and with all witnesses."""
    topic = bench.preload()
    spec = builtin_specs()["datacenter"]
    power = trained()
    settings = ForestSettings()
    dataset = ForestDataset.of_frame(simulated_frame(), spec, settings)
    forest = AnomalyForest.fit(spec.numeric_fields, dataset.train, settings)
    both = micros_per_row(power.model, power.dataset.holdout.x, BATCH)
    both += _micros(forest, dataset.train[:BATCH])
    bare = 1e6 / both
    table = Table(title=f"Detector, {bench.events:,} events")
    for column in ("what", "events/s", "ratio", "peak MB"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(
        f"bare calls of both models, batches of {BATCH:,}", f"{bare:,.0f}", "1.00", ""
    )
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / name for name in ("power", "forest")]
        for each in folders:
            each.mkdir()
        save_power(folders[0], power, spec)
        save_forest(folders[1], forest, dataset.holdout, spec, settings)
        for client in clients:
            for name, more in {"own past": (), "all witnesses": folders}.items():
                runs = [
                    bench.service("detector", client, topic, *more)
                    for _ in range(repeat)
                ]
                if any(run.rows != bench.events for run in runs):
                    raise SystemExit(f"{client}, {name}: not one row an event")
                speed = statistics.median(run.events_per_second for run in runs)
                table.add_row(
                    f"{client}: {name}",
                    f"{speed:,.0f}",
                    f"{speed / bare:.2f} of bare" if more else "",
                    f"{max(run.peak_mb for run in runs):.0f}",
                )
    Console().print(table)


def _micros(forest: AnomalyForest, x: np.ndarray) -> float:
    """Return microseconds a row, the best of three calls."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        forest.score(x)
        best = min(best, time.perf_counter() - begun)
    return best / len(x) * 1e6
