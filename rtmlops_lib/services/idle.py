"""When a consumer that shall stop at the end of the log may stop."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["IdleClock", "IdleVerdict"]


class IdleVerdict(Enum):
    """What to do now."""

    GO_ON = auto()
    IDLE = auto()
    GAVE_UP = auto()


class IdleClock:
    """Counts the time in which nothing was left to do, and that without progress.

    Parameters
    ----------
    until_idle : float
        Seconds of uninterrupted idleness that end the run.
    max_wait : float
        Seconds with neither idleness nor progress that end it as failed.

    Examples
    --------
    >>> clock = IdleClock(until_idle=2, max_wait=120)
    >>> clock.update(0.0, idle=True, progress=False)
    <IdleVerdict.GO_ON: 1>
    >>> clock.update(2.0, idle=True, progress=False)
    <IdleVerdict.IDLE: 2>
    """

    def __init__(self, until_idle: float, max_wait: float) -> None:
        self.until_idle = until_idle
        self.max_wait = max_wait
        self._idle_since: float | None = None
        self._waiting_since: float | None = None

    def update(self, now: float, *, idle: bool, progress: bool) -> IdleVerdict:
        """Tell the clock how things stand at ``now`` (monotonic seconds)."""
        if idle:
            if self._idle_since is None:
                self._idle_since = now
            self._waiting_since = None
            done = now - self._idle_since >= self.until_idle
            return IdleVerdict.IDLE if done else IdleVerdict.GO_ON
        self._idle_since = None
        if progress or self._waiting_since is None:
            self._waiting_since = now
        waited = now - self._waiting_since
        return IdleVerdict.GAVE_UP if waited >= self.max_wait else IdleVerdict.GO_ON
