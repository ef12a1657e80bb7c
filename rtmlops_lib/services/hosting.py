"""What every service's process has: signals, and an HTTP server where one is wanted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from prometheus_client import CollectorRegistry

from rtmlops_lib.services.health import Health, HealthServer
from rtmlops_lib.settings import Settings

__all__ = ["SIGINT_EXIT", "exit_code", "hosted"]

SIGINT_EXIT = 130


@contextmanager
def hosted(
    settings: Settings,
    health: Health,
    registry: CollectorRegistry,
    stop: Callable[[], None],
) -> Iterator[list[int]]:
    """Answer signals and health questions meanwhile.

    Parameters
    ----------
    settings : Settings
        Say where metrics and health are served; port 0 means nowhere.
    health : Health
    registry : CollectorRegistry
    stop : callable
        Called on SIGTERM and SIGINT.

    Yields
    ------
    list of int
        The signals received so far.
    """
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server = None
    if settings.metrics_port:
        server = HealthServer(
            health,
            registry,
            host=settings.metrics_host,
            port=settings.metrics_port,
        )
        server.start()
    try:
        yield received
    finally:
        if server is not None:
            server.close()


def exit_code(code: int, received: list[int]) -> int:
    """Return how the process ends: as its loop did, or as one that was interrupted."""
    return SIGINT_EXIT if signal.SIGINT in received and code == 0 else code
