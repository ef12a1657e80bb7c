"""What a judge remembers between two windows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["Memory", "WindowMarks"]


@dataclass(frozen=True, slots=True)
class WindowMarks:
    """One judged window.

    Parameters
    ----------
    start, end : str
        ISO 8601, or row numbers.
    marks : dict of str to int
        By feature: 2 over the threshold, 1 close to it, 0 below.
    effects : dict of str to float
    """

    start: str
    end: str
    marks: dict[str, int]
    effects: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Memory:
    """Windows so far, newest last, and what was told of them.

    Parameters
    ----------
    windows : tuple of WindowMarks
        The newest.
    held : dict of str to tuple of float
        By feature: effective rows of many more windows, newest last.
    drifting : tuple of str
        Features that drift.
    since_alert : int, optional
        Windows since the last alert; None before any.
    told : tuple of str
        Those of them that somebody was told of.
    whole : dict of str to float, optional
        Effective rows by feature of all windows, where they are known beforehand, as
        those of a file are.
    """

    windows: tuple[WindowMarks, ...] = ()
    held: dict[str, tuple[float, ...]] = field(default_factory=dict)
    drifting: tuple[str, ...] = ()
    since_alert: int | None = None
    told: tuple[str, ...] = ()
    whole: dict[str, float] | None = None

    def with_window(
        self, window: WindowMarks, worth: dict[str, float], keep: int, hold: int
    ) -> Memory:
        """Return this memory and one more window.

        Parameters
        ----------
        worth : dict of str to float
            The window's effective rows by feature.
        keep, hold : int
            How many windows are kept, and effective rows of how many.
        """
        held = {
            name: (*self.held.get(name, ()), round(rows, 1))[-hold:]
            for name, rows in worth.items()
        }
        return replace(self, windows=(*self.windows, window)[-keep:], held=held)

    @property
    def count(self) -> int:
        """Of how many windows effective rows are held."""
        return max(map(len, self.held.values()), default=0)

    def marks(self, feature: str, count: int) -> tuple[int, ...]:
        """Return a feature's newest marks."""
        return tuple(window.marks.get(feature, 0) for window in self.windows[-count:])

    def effective_rows(self, feature: str) -> float:
        """Return what all remembered windows hold of a feature."""
        if self.whole is not None:
            return self.whole.get(feature, 0.0)
        return sum(self.held.get(feature, ()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Memory:
        """Return what ``to_dict`` was made of."""
        windows = tuple(WindowMarks(**window) for window in plain["windows"])
        held = {name: tuple(rows) for name, rows in plain["held"].items()}
        rest = {**plain, "windows": windows, "held": held}
        rest["drifting"] = tuple(plain["drifting"])
        rest["told"] = tuple(plain["told"])
        return cls(**rest)
