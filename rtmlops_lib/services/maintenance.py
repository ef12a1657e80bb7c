"""Roll-ups and retention, once a minute, beside the consume loop."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.store import Store
from rtmlops_lib.streams import StreamSpec

__all__ = ["Maintenance"]

log = get_logger(__name__)


class Maintenance:
    """Runs ``store.maintain`` on a thread and a connection of its own.

    Several services may do so at once: the store's lock lets one through.

    Parameters
    ----------
    store : Store
        Not shared with anybody; closed when the thread ends.
    specs : sequence of StreamSpec
    interval_seconds : float
    """

    def __init__(
        self, store: Store, specs: Sequence[StreamSpec], *, interval_seconds: float
    ) -> None:
        self._store = store
        self._specs = specs
        self._interval = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="maintenance", daemon=True
        )

    def start(self) -> None:
        """Begin; the first round comes after one interval."""
        self._thread.start()

    def _work(self) -> None:
        try:
            self._rounds()
        finally:
            self._store.close()

    def _rounds(self) -> None:
        failing = False
        while not self._stop.wait(self._interval):
            try:
                self._store.maintain(self._specs)
                failing = False
            except RtmlopsError as fault:
                if not failing:
                    log.warning("maintenance_failed", error=str(fault))
                failing = True
            except Exception:
                # One broken round must not end the others for good.
                log.exception("maintenance_broken")

    def close(self) -> None:
        """Stop after the round under way, waiting at most one second for it."""
        self._stop.set()
        if self._thread.is_alive():
            # Not closed from here: that would wait for the round, hours at worst.
            self._thread.join(1.0)
