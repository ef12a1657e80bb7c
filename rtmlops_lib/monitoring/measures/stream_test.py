"""Drift tests that read a stream value by value."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from rtmlops_lib.monitoring.measures.drift_test import DriftTest, Measured, numbers

__all__ = ["StreamTest"]


class StreamTest(DriftTest):
    """A test that is fed one value after the other and says when it sees a change.

    Unlike other drift tests it has state; ``compare`` works on a copy and leaves it
    alone. One thread at a time.
    """

    @abstractmethod
    def update(self, value: float) -> bool:
        """Take the next value; return whether a change is seen now."""

    @property
    @abstractmethod
    def change_length(self) -> int:
        """How many of the newest values lie after the change seen last."""

    @abstractmethod
    def fresh(self) -> StreamTest:
        """Return a test of the same parameters that has seen nothing."""

    def compare(
        self,
        reference: Any,
        current: Any,
        *,
        effective: tuple[float, float] | None = None,
    ) -> Measured:
        """Feed both samples in order; there is no p-value.

        The effect is the difference of the means after and before the last change
        seen in ``current``, in standard deviations of the reference; 0 if none is.
        """
        r, c = numbers(reference, "reference"), numbers(current, "current")
        test = self.fresh()
        for value in r.tolist():
            test.update(value)
        since: int | None = None
        for at, value in enumerate(c.tolist()):
            if test.update(value):
                since = max(0, at + 1 - test.change_length)
        if since is None:
            return Measured(0.0)
        before = np.concatenate([r, c[:since]])
        unit = float(np.std(r)) or abs(float(r[0])) or 1.0
        return Measured(abs(float(c[since:].mean() - before.mean())) / unit)
