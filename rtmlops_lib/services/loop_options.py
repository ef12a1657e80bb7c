"""How a consume loop behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtmlops_lib.services.ownership import Start
from rtmlops_lib.settings import Settings

__all__ = ["LoopOptions"]


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a loop behaves, beside what it consumes.

    Parameters
    ----------
    batch_max_rows, batch_max_seconds : int, float
        A write is due at so many records, or when the oldest is so old.
    write_deadline_seconds : float
        Bound on each database call.
    start : {"earliest", "latest"} or datetime
        Where a group begins that has never read the topic, in all its partitions;
        those that are added later begin at their beginning.
    until_idle : float, optional
        Stop after so many seconds with nothing left to read; not at all while events
        keep coming.
    max_wait : float
        With ``until_idle``: give up after so many seconds without progress.
    """

    batch_max_rows: int = 5_000
    batch_max_seconds: float = 0.1
    write_deadline_seconds: float = 10.0
    start: Start = "earliest"
    until_idle: float | None = None
    max_wait: float = 120.0

    @classmethod
    def from_settings(cls, settings: Settings, **given: Any) -> LoopOptions:
        """Return what is given, the rest as the settings have it.

        Examples
        --------
        >>> settings = Settings(batch_max_rows=200)
        >>> LoopOptions.from_settings(settings, until_idle=2.0).batch_max_rows
        200
        >>> LoopOptions.from_settings(settings, batch_max_rows=50).batch_max_rows
        50
        """
        names = ("batch_max_rows", "batch_max_seconds", "write_deadline_seconds")
        known = {name: getattr(settings, name) for name in names}
        return cls(**{**known, **given})
