"""A deadline that also ends a call whose peer has stopped to answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

__all__ = ["Alarm", "Watchdog"]


class Alarm:
    """One armed deadline; ``fired`` tells whether the socket was shut down."""

    def __init__(self, watchdog: Watchdog, when: float, sock: socket.socket) -> None:
        self.when = when
        self.fired = False
        self._sock = sock
        self._watchdog = watchdog

    def __enter__(self) -> Alarm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Disarm; afterwards ``fired`` does not change any more."""
        self._watchdog.cancel(self)

    def fire(self) -> None:
        """Shut the socket down, so that whoever reads or writes it returns."""
        self.fired = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One daemon thread that shuts sockets down whose deadline passes.

    Neither keepalives nor ``tcp_user_timeout`` nor ``statement_timeout`` end a COPY
    to a server behind a network that swallows packets but acknowledges them.

    Examples
    --------
    >>> ours, theirs = socket.socketpair()
    >>> with Watchdog().arm(time.monotonic() + 0.05, ours) as alarm:
    ...     ours.recv(1), alarm.fired
    (b'', True)
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: set[Alarm] = set()
        self._thread: threading.Thread | None = None

    def arm(self, when: float, sock: socket.socket) -> Alarm:
        """Shut ``sock`` down at ``when`` (``time.monotonic``) unless cancelled."""
        alarm = Alarm(self, when, sock)
        with self._changed:
            earliest = all(when < other.when for other in self._alarms)
            self._alarms.add(alarm)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._watch, name="store-watchdog", daemon=True
                )
                self._thread.start()
            elif earliest:
                self._changed.notify()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget an alarm; it is no error when it has fired."""
        with self._changed:
            self._alarms.discard(alarm)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for alarm in [a for a in self._alarms if a.when <= now]:
                    self._alarms.discard(alarm)
                    alarm.fire()
                pending = [alarm.when for alarm in self._alarms]
                self._changed.wait(min(pending) - now if pending else None)
