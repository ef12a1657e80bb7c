"""Health over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from rtmlops_lib.errors import UsageError

__all__ = ["Health", "HealthServer"]


class Health:
    """What a service knows of its own state; written by its loop, read by HTTP.

    Parameters
    ----------
    stalled_after : float
        Seconds without a beat after which the process counts as hung.

    Examples
    --------
    >>> health = Health()
    >>> health.ready, health.reasons
    (False, ['starting'])
    >>> health.set(())
    >>> health.ready
    True
    """

    def __init__(self, *, stalled_after: float = 60.0) -> None:
        self._stalled_after = stalled_after
        self._beat = time.monotonic()
        self._reasons: tuple[str, ...] = ("starting",)
        self._notes: tuple[str, ...] = ()

    def beat(self) -> None:
        """Say that the loop is alive."""
        self._beat = time.monotonic()

    def set(self, reasons: tuple[str, ...], *, notes: tuple[str, ...] = ()) -> None:
        """State why the service is not ready; nothing means that it is.

        Parameters
        ----------
        reasons : tuple of str
        notes : tuple of str
            What it cannot do, ready as it is.
        """
        self._reasons, self._notes = reasons, notes

    @property
    def ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not self._reasons

    @property
    def reasons(self) -> list[str]:
        """Why it is not ready, each with its remedy."""
        return list(self._reasons)

    @property
    def notes(self) -> list[str]:
        """What it cannot do although it is ready, each with its remedy."""
        return list(self._notes)

    @property
    def alive(self) -> bool:
        """Whether the loop has come round lately."""
        return time.monotonic() - self._beat < self._stalled_after


class HealthServer:
    """Serves a service's health and metrics from a thread of its own.

    Parameters
    ----------
    health : Health
    registry : CollectorRegistry
    host, port : str, int
        Where to listen; port 0 takes a free one (see ``port`` after ``start``).

    Raises
    ------
    UsageError
        From ``start``, when the port is taken.
    """

    def __init__(
        self, health: Health, registry: CollectorRegistry, *, host: str, port: int
    ) -> None:
        self._health = health
        self._registry = registry
        self._host = host
        self.port = port
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Begin to answer."""
        health, registry = self._health, self._registry

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802 - the base class's name
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif path == "/healthz":
                    self._json(200 if health.alive else 503, alive=health.alive)
                elif path == "/readyz":
                    self._json(
                        200 if health.ready else 503,
                        ready=health.ready,
                        reasons=health.reasons,
                        **({"notes": health.notes} if health.notes else {}),
                    )
                else:
                    self._json(404, error="try /healthz, /readyz or /metrics")

            def _json(self, status: int, **body: Any) -> None:
                self._answer(status, json.dumps(body).encode(), "application/json")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: scrapes are not state changes."""

        try:
            self._server = ThreadingHTTPServer((self._host, self.port), Handler)
        except OSError as error:
            raise UsageError(
                f"cannot serve metrics on {self._host}:{self.port}: {error.strerror}",
                remedy="give another --metrics-port, or 0 for none",
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        ).start()

    def close(self) -> None:
        """Stop answering; twice is fine."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
