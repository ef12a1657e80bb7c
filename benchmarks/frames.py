"""``python -m benchmarks.frames``: detect_frame beside a rolling z-score.

Series with anomalies of known kind and place, of seeds that nothing was tuned on, one
set of parameters for all. The figure is the area under the precision-recall curve over
rows: never point-adjusted, under which random scores look good.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from rtmlops_lib.models import detect_frame
from rtmlops_lib.models.detect import average_precision

ROWS = 3_000


def noise(random: np.random.Generator, period: int) -> np.ndarray:
    """Return autocorrelated noise of spread 1."""
    white = random.standard_normal(ROWS)
    return pd.Series(white).ewm(alpha=0.6, adjust=False).mean().to_numpy() / 0.65


def cycle(random: np.random.Generator, period: int) -> np.ndarray:
    """Return a cycle with harmonics, and noise of a seventh of its size."""
    phase = 2 * np.pi * np.arange(ROWS) / period + random.random()
    wave = 2 * np.sin(phase) + np.cos(2 * phase) + 0.5 * np.sin(3 * phase)
    return wave + 0.25 * random.standard_normal(ROWS)


def spike(x: np.ndarray, random: np.random.Generator, period: int) -> None:
    x[:2] += random.choice([-1, 1]) * 6


def shift(x: np.ndarray, random: np.random.Generator, period: int) -> None:
    x += random.choice([-1, 1]) * 3


def variance(x: np.ndarray, random: np.random.Generator, period: int) -> None:
    x += 2.5 * random.standard_normal(len(x))


def standstill(x: np.ndarray, random: np.random.Generator, period: int) -> None:
    x[:] = x[0]


def reversal(x: np.ndarray, random: np.random.Generator, period: int) -> None:
    x[:period] = x[:period][::-1].copy()


# What, on which ground, how many rows of its 100 it lasts.
FAMILIES: dict[str, tuple[Callable[..., None], Callable[..., np.ndarray], int]] = {
    "spikes in noise": (spike, noise, 2),
    "spikes on a cycle": (spike, cycle, 2),
    "level shifts in noise": (shift, noise, 60),
    "level shifts on a cycle": (shift, cycle, 60),
    "variance changes": (variance, noise, 60),
    "standstills in noise": (standstill, noise, 60),
    "standstills on a cycle": (standstill, cycle, 60),
    "a cycle run backwards": (reversal, cycle, 60),
}


def series(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values, and where they are anomalous: three times, after a third."""
    strike, ground, length = FAMILIES[name]
    random = np.random.default_rng([seed, len(name)])
    period = int(random.integers(30, 61))
    x, truth = ground(random, period), np.zeros(ROWS, np.bool_)
    for start in random.permutation(np.arange(1_000, 2_900, 300))[:3]:
        at = int(start + random.integers(0, 150))
        span = period if strike is reversal else length
        strike(x[at : at + span], random, period)
        truth[at : at + span] = True
    return x, truth


def rolling_z(x: np.ndarray, width: int) -> np.ndarray:
    """Return how many spreads each value lies from the mean of those before it."""
    past = pd.Series(x).rolling(width, min_periods=width // 2)
    mean, spread = past.mean().shift(), past.std().shift() + 1e-9
    return ((x - mean) / spread).abs().fillna(0).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.frames", description=__doc__)
    parser.add_argument("--seed", type=int, default=9_000, help="the first one")
    parser.add_argument("--repeat", type=int, default=5, help="series of each kind")
    arguments = parser.parse_args()
    widths = (30, 100, 300)
    table = Table(title="Area under the precision-recall curve, over rows")
    for column in ("anomalies", "detect_frame", *(f"z, {w} rows" for w in widths)):
        table.add_column(column, justify="left" if column == "anomalies" else "right")
    means, rows, seconds = [], 0, 0.0
    for name in FAMILIES:
        found: list[list[float]] = []
        for seed in range(arguments.seed, arguments.seed + arguments.repeat):
            x, truth = series(name, seed)
            began = time.process_time()
            scores = detect_frame(pd.DataFrame({"x": x})).score.to_numpy()
            seconds += time.process_time() - began
            rows += len(x)
            simple = (average_precision(truth, rolling_z(x, w)) for w in widths)
            found.append([average_precision(truth, scores), *simple])
        means.append(np.mean(found, axis=0))
        table.add_row(name, *(f"{value:.2f}" for value in means[-1]))
    table.add_section()
    table.add_row("mean", *(f"{value:.2f}" for value in np.mean(means, axis=0)))
    console = Console()
    console.print(table)
    console.print(f"{rows / seconds:,.0f} rows a second of processor time")


if __name__ == "__main__":
    main()
