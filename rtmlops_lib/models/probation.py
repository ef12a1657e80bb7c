"""Whether a new champion is worse than the one it replaced: numbers in, verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.models.gate import block_bootstrap

__all__ = ["BLOCK_SECONDS", "ProbationVerdict", "compare_blocks"]

Array = NDArray[np.float64]

# Errors nearer in time than this depend on each other; so do those of an hour, where
# there is time enough to ask for more.
BLOCK_SECONDS = 600.0
LONGEST_BLOCK = 6
MIN_BLOCKS = 6
# Asked again with every block: more certain than the gate has to be.
CONFIDENCE = 0.99
MARGIN = 0.05
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class ProbationVerdict:
    """How a new champion does beside the former one, on the same events.

    Parameters
    ----------
    known : bool
        Whether there is enough to say anything.
    worse : bool
        Whether it is worse by more than the margin, with the stated confidence.
    rows, blocks : int
    mape, former_mape : float
        Of the new champion and of the former one; NaN without rows.
    low, high : float
        Relative change of the error, bounds of the confidence interval.
    """

    known: bool
    worse: bool
    rows: int
    blocks: int
    mape: float
    former_mape: float
    low: float
    high: float

    @property
    def summary(self) -> str:
        """One sentence."""
        if not self.rows:
            return "no event was predicted by both"
        said = (
            f"MAPE {self.mape:.2%} against {self.former_mape:.2%} of the former "
            f"champion on the same {self.rows:,} events"
        )
        if not self.known:
            return f"{said}, in {self.blocks} blocks of time: too few to judge"
        return f"{said}, change {self.low:+.1%} to {self.high:+.1%}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is not known is null."""
        numbers = {
            name: float(getattr(self, name))
            for name in ("mape", "former_mape", "low", "high")
        }
        return {
            "known": self.known,
            "worse": self.worse,
            "rows": self.rows,
            "blocks": self.blocks,
            **{k: v if np.isfinite(v) else None for k, v in numbers.items()},
        }


def compare_blocks(
    rows: NDArray[np.int64], ours: Array, theirs: Array, *, seed: int = 0
) -> ProbationVerdict:
    """Compare sums of percentage errors over blocks of ``BLOCK_SECONDS``.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Events in each block, in order of time.
    ours, theirs : ndarray of float, shape (n,)
        Sums of the new and of the former champion's errors.

    Examples
    --------
    >>> rows = np.full(12, 100)
    >>> wave = 2 + np.sin(np.arange(12.0))
    >>> compare_blocks(rows, 1.3 * wave, wave).worse
    True
    >>> compare_blocks(rows, 1.02 * wave, wave).worse
    False
    >>> compare_blocks(rows[:3], 3 * wave[:3], wave[:3]).known
    False
    """
    total = int(rows.sum())
    if not total:
        nan = float("nan")
        return ProbationVerdict(False, False, 0, 0, nan, nan, nan, nan)
    # Longer blocks where there are many: twelve of them say enough.
    length = max(1, min(LONGEST_BLOCK, len(rows) // 12))
    block = np.arange(len(rows)) // length
    blocks = int(block[-1]) + 1
    change = block_bootstrap(ours, theirs, block, RESAMPLES, seed)
    low, high = np.quantile(change, [1 - CONFIDENCE, CONFIDENCE])
    known = blocks >= MIN_BLOCKS
    return ProbationVerdict(
        known=known,
        worse=known and bool(low > MARGIN),
        rows=total,
        blocks=blocks,
        mape=float(ours.sum() / total),
        former_mape=float(theirs.sum() / total),
        low=float(low),
        high=float(high),
    )
