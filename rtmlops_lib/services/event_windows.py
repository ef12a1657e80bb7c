"""Windows of event time, each once, when all that belongs to it is there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rtmlops_lib.models.aliases import CHAMPION
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["EventWindow", "EventWindows"]

# As the windows of ``live_error``: both cut time at the same places.
ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
# A monitor that was away for longer does not look at everything it missed.
MAX_BEHIND = 168


@dataclass(frozen=True, slots=True)
class EventWindow:
    """One window that may be judged.

    Parameters
    ----------
    start, end : datetime
        ``start <= time < end``.
    rows : int
        Stored events.
    predicted : int
        How many of them the champion of the time predicted.
    """

    start: datetime
    end: datetime
    rows: int
    predicted: int


class EventWindows:
    """Says which window of a stream is complete, in order of time.

    A window is complete when the newest event is ``lateness`` beyond its end and as
    many events are predicted as are stored. Where these numbers differ and stay as
    they are for ``patience``, it is told as it is: then the predictor is away.

    Parameters
    ----------
    store : PostgresStore
    spec : StreamSpec
    model_name : str
    seconds : float
        Length of a window.
    lateness_seconds : float
    patience_seconds : float
        By the clock.
    """

    def __init__(
        self,
        store: PostgresStore,
        spec: StreamSpec,
        model_name: str,
        *,
        seconds: float,
        lateness_seconds: float,
        patience_seconds: float,
    ) -> None:
        self._store = store
        self._spec = spec
        self._model_name = model_name
        self.length = timedelta(seconds=seconds)
        self._lateness = timedelta(seconds=lateness_seconds)
        self._patience = patience_seconds
        self._next: datetime | None = None
        self._seen: tuple[int, int] | None = None
        self._seen_since = 0.0

    def resume(self, judged_until: datetime | None) -> None:
        """Go on behind what was judged before; with None, at the newest window."""
        self._next = None if judged_until is None else self._floor(judged_until)

    def next(self, newest: datetime) -> EventWindow | None:
        """Return the next complete window, None while there is none.

        Parameters
        ----------
        newest : datetime
            Time of the newest stored event.
        """
        last = self._floor(newest - self._lateness) - self.length
        if self._next is None or last - self._next > MAX_BEHIND * self.length:
            self._next = last
        start, end = self._next, self._next + self.length
        if start > last:
            return None
        rows, _ = self._store.row_count(self._spec, since=start, until=end)
        if not rows:
            # A gap: nothing to say of it, however long it is.
            first = self._store.first_time(self._spec, since=end)
            # Nor of events whose clocks are ahead of all others: those are not there
            # yet, and what comes until then must not be passed over.
            if first is None or first > newest:
                first = end
            self._next = self._floor(first)
            return None
        predicted = self._predicted(start, end)
        if predicted != rows and not self._settled((rows, predicted)):
            return None
        return EventWindow(start, end, rows, predicted)

    def done(self, window: EventWindow) -> None:
        """Go on to the window after this one."""
        self._next = window.end
        self._seen = None

    def _settled(self, now: tuple[int, int]) -> bool:
        if now != self._seen:
            self._seen, self._seen_since = now, time.monotonic()
            return False
        return time.monotonic() - self._seen_since >= self._patience

    def _predicted(self, start: datetime, end: datetime) -> int:
        counts = self._store.prediction_counts(
            self._spec, self._model_name, since=start, until=end
        )
        return sum(n for (role, _), n in counts.items() if role == CHAMPION)

    def _floor(self, moment: datetime) -> datetime:
        return ORIGIN + (moment - ORIGIN) // self.length * self.length
