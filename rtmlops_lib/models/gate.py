"""Whether a new version may replace what serves now: pure numbers in, verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.scores import percentage_errors
from rtmlops_lib.models.settings import GateSettings

__all__ = ["Check", "GateReport", "block_bootstrap", "holm", "judge", "server_groups"]

Array = NDArray[np.float64]
FAST_ENOUGH = "fast enough"


@dataclass(frozen=True, slots=True)
class Check:
    """One question of the gate and its answer."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """The gate's verdict and why.

    Parameters
    ----------
    against : str
        Whom the candidate was compared with: ``champion v3``, ``linear baseline``.
    checks : tuple of Check
        All of them, passed or not.
    """

    against: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(check.passed for check in self.checks)

    @property
    def summary(self) -> str:
        """One sentence."""
        failed = [f"{c.name}: {c.detail}" for c in self.checks if not c.passed]
        if failed:
            return f"refused against {self.against}: {'; '.join(failed)}"
        return f"passed against {self.against}: {self.checks[0].detail}"

    @property
    def too_slow(self) -> bool:
        """Whether it would hold up whoever scores with it, in shadow as well."""
        return any(c.name == FAST_ENOUGH and not c.passed for c in self.checks)

    def with_checks(self, more: Iterable[Check]) -> GateReport:
        """Return the verdict with more questions asked."""
        return GateReport(self.against, (*self.checks, *more))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "passed": self.passed,
            "against": self.against,
            "checks": [asdict(check) for check in self.checks],
        }


def judge(
    *,
    time: NDArray[np.int64],
    groups: NDArray[np.int64],
    y: Array,
    candidate: Array,
    reference: Array,
    against: str,
    micros_per_row: float,
    settings: GateSettings,
    seed: int = 0,
) -> GateReport:
    """Compare two predictions of the same held-out rows.

    The candidate passes when its error is lower with the stated confidence, no group
    of servers is significantly worse by more than the margin (after Holm), and it is
    fast enough.

    Parameters
    ----------
    time : ndarray of int64, shape (n,)
        Microseconds since 1970.
    groups : ndarray of int64, shape (n,)
        Each row's server group, from 0.
    y, candidate, reference : ndarray of float, shape (n,)
        Truth and the two predictions.
    """
    seconds = _block_seconds(time, settings)
    block = (time // int(seconds * 1e6)).astype(np.int64)
    ours = percentage_errors(y, candidate)
    theirs = percentage_errors(y, reference)
    blocks = len(np.unique(block))
    if blocks < settings.min_blocks:
        missing = Check(
            "enough data",
            False,
            f"the held-out rows span {blocks} blocks of {seconds:g} s, "
            f"{settings.min_blocks} are needed",
        )
        return GateReport(against, (missing, _speed(micros_per_row, settings)))
    change = block_bootstrap(ours, theirs, block, settings.resamples, seed)
    low, high = np.quantile(change, [1 - settings.confidence, settings.confidence])
    better = Check(
        "lower error",
        bool(high < 0),
        f"MAPE {ours.mean():.2%} against {theirs.mean():.2%}, change "
        f"{low:+.1%} to {high:+.1%}",
    )
    return GateReport(
        against,
        (
            better,
            _no_group_worse(ours, theirs, block, groups, settings, seed),
            _speed(micros_per_row, settings),
        ),
    )


def _block_seconds(time: NDArray[np.int64], settings: GateSettings) -> float:
    span = float(time.max() - time.min()) / 1e6
    wanted = min(settings.block_seconds, span / settings.blocks)
    return max(wanted, settings.min_block_seconds)


def block_bootstrap(
    ours: Array, theirs: Array, block: NDArray[np.int64], resamples: int, seed: int
) -> Array:
    r"""Return resampled relative changes of the mean error.

    Blocks of time are drawn with replacement, whole: errors of neighbouring rows
    depend on each other, and rows drawn singly would promise far too much.

    .. math:: \Delta = \sum_b w_b (e_b - e'_b) / \sum_b w_b e'_b

    Parameters
    ----------
    ours, theirs : ndarray of float, shape (n,)
        Errors of the same rows.
    block : ndarray of int64, shape (n,)
        Each row's block.

    References
    ----------
    E. Carlstein, "The use of subseries values for estimating the variance of a
    general statistic from a stationary sequence", Annals of Statistics 14 (1986).

    Examples
    --------
    >>> errors = np.random.default_rng(0).random(1000)
    >>> change = block_bootstrap(0.9 * errors, errors, np.arange(1000) // 10, 200, 1)
    >>> float(change.mean().round(3))
    -0.1
    """
    _, place = np.unique(block, return_inverse=True)
    count = int(place.max()) + 1
    sums = np.stack(
        [np.bincount(place, errors, count) for errors in (ours - theirs, theirs)]
    )
    weights = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), resamples
    )
    differences, levels = (weights @ sums.T).T
    result: Array = differences / np.maximum(levels, 1e-12)
    return result


def holm(p: Array) -> Array:
    """Return p-values adjusted for several tests (Holm 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def server_groups(series: NDArray[Any], y: Array, groups: int) -> NDArray[np.int64]:
    """Return each row's group: servers ordered by their mean target, cut evenly.

    Examples
    --------
    >>> names = np.array(["a", "b", "c", "d", "a"], object)
    >>> server_groups(names, np.array([1.0, 9.0, 2.0, 8.0, 1.0]), 2).tolist()
    [0, 1, 0, 1, 0]
    """
    names, place = np.unique(series.astype(str), return_inverse=True)
    mean = np.bincount(place, y) / np.bincount(place)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(names))
    result: NDArray[np.int64] = (rank * min(groups, len(names)) // len(names))[place]
    return result


def _no_group_worse(
    ours: Array,
    theirs: Array,
    block: NDArray[np.int64],
    groups: NDArray[np.int64],
    settings: GateSettings,
    seed: int,
) -> Check:
    p, names = [], np.unique(groups)
    for group in names:
        rows = groups == group
        change = block_bootstrap(
            ours[rows], theirs[rows], block[rows], settings.resamples, seed
        )
        # How often the change stays within the margin.
        within = int((change <= settings.group_margin).sum())
        p.append((1 + within) / (1 + len(change)))
    worse = names[holm(np.array(p)) < 1 - settings.confidence]
    if not len(worse):
        return Check(
            "no group worse",
            True,
            f"none of {len(names)} groups is worse by more than "
            f"{settings.group_margin:.0%}",
        )
    return Check(
        "no group worse",
        False,
        f"group {', '.join(str(g + 1) for g in worse)} of {len(names)} (by mean "
        f"target) is worse by more than {settings.group_margin:.0%}",
    )


def _speed(micros_per_row: float, settings: GateSettings) -> Check:
    return Check(
        FAST_ENOUGH,
        micros_per_row <= settings.max_micros_per_row,
        f"{micros_per_row:.1f} µs a row at {settings.speed_rows:,} rows, the ceiling "
        f"is {settings.max_micros_per_row:g}",
    )
