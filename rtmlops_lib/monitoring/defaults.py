"""What a library's default thresholds would say: chapter 09 lets them cry wolf."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.monitoring.measures._shares import cut_points, shares_of_numbers
from rtmlops_lib.monitoring.measures.kolmogorov_smirnov import (
    gap_probability,
    largest_gap,
)
from rtmlops_lib.monitoring.measures.population_stability import stability_index
from rtmlops_lib.monitoring.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["default_alarms"]

_BINS = 10


def default_alarms(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    window: timedelta,
    features: Sequence[str],
    time_column: str = "time",
    psi_limit: float = 0.2,
    p_limit: float = 0.05,
) -> pd.DataFrame:
    """Return, window by window, whom the usual defaults would alarm.

    Each window's raw values are compared with all of the reference's: PSI above 0.2,
    Kolmogorov–Smirnov's p below 0.05 with every row taken for evidence of its own.
    No profile, no calibration, no memory: what one gets by calling such a test.

    Parameters
    ----------
    reference, current : DataFrame
    window : timedelta
    features : sequence of str
        Numbers.
    psi_limit, p_limit : float
        The defaults in wide use.

    Returns
    -------
    DataFrame
        A row a window: its ``start``; ``psi`` and ``ks``, whether any feature alarms;
        ``<feature> psi`` and ``<feature> ks``, whether this one does.

    Notes
    -----
    Taught in chapter 09.

    Examples
    --------
    >>> import pandas as pd
    >>> hours = pd.date_range("2026-01-05", periods=14 * 24 * 12, freq="5min", tz="UTC")
    >>> day = np.sin(np.arange(len(hours)) / 288 * 2 * np.pi)
    >>> noise = np.random.default_rng(1).normal(size=len(hours))
    >>> frame = pd.DataFrame({"time": hours, "load": 40 + 10 * day + noise})
    >>> found = default_alarms(
    ...     frame[:2016], frame[2016:], window=timedelta(hours=1), features=["load"]
    ... )
    >>> bool(found["psi"].mean() > 0.9), bool(found["ks"].mean() > 0.9)
    (True, True)
    """
    import pandas as pd

    first, table = (
        Table.of_frame(frame, time_column=time_column, features=features)
        for frame in (reference, current)
    )
    known = {name: _sorted(first.columns[name]) for name in features}
    cuts = {name: cut_points(known[name], _BINS) for name in features}
    shares = {n: shares_of_numbers(known[n], cuts[n]) for n in features}
    length = round(window.total_seconds() * 1e6)
    starts, begin = np.unique(table.time // length, return_index=True)
    rows = []
    for start, at, stop in zip(
        starts.tolist(), begin, [*begin[1:], len(table)], strict=True
    ):
        row: dict[str, object] = {
            "start": pd.Timestamp(start * length, unit="us", tz="UTC")
        }
        for name in features:
            values = _sorted(table.columns[name][at:stop])
            if not len(values):
                row[f"{name} psi"] = row[f"{name} ks"] = False
                continue
            now = shares_of_numbers(values, cuts[name])
            row[f"{name} psi"] = stability_index(shares[name], now) > psi_limit
            gap = largest_gap(known[name], values)
            p = gap_probability(gap, len(known[name]), len(values))
            row[f"{name} ks"] = p < p_limit
        for test in ("psi", "ks"):
            row[test] = any(bool(row[f"{name} {test}"]) for name in features)
        rows.append(row)
    columns = ["start", "psi", "ks"]
    columns += [f"{name} {test}" for test in ("psi", "ks") for name in features]
    return pd.DataFrame(rows, columns=columns)


def _sorted(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sort(x[np.isfinite(x)])
