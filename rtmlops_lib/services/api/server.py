"""The API as a process: its socket, signals, exit code."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.require import require_models_extra
from rtmlops_lib.services.api.app import create_app
from rtmlops_lib.services.api.context import ApiContext
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.hosting import exit_code, hosted
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec

__all__ = ["run_api"]

log = get_logger(__name__)

# SIGTERM is answered within 10 s: whatever is under way then is cut off. Nothing is
# lost by it: a job is in the database or it is not, and a move of aliases that was
# planned is completed by the next one.
GRACE_SECONDS = 7
HEADER_SECONDS = 10.0
CONNECTIONS = 512


class _Protocol(H11Protocol):
    """Closes a connection whose headers do not arrive in time.

    The server's own limits begin with their end.
    """

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        # Not anew with each byte: who sends one a second would never be done.
        if self._patience is None and self.conn.their_state is h11.IDLE:
            self._wait()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def run_api(settings: Settings, specs: Sequence[StreamSpec]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    UsageError
        Without a token, without the packages it needs, or when the port is taken.
    """
    require_models_extra()
    context = ApiContext.of_settings(settings, specs)
    listener = _listen(settings.api_host, settings.api_port)
    # Imported now: a probe that had to wait for it would say that MLflow is away.
    context.registry.prepare()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(context),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )

    def stop() -> None:
        server.should_exit = True

    quiet = settings.model_copy(update={"metrics_port": 0})  # it serves its own
    health = Health()
    with listener, hosted(quiet, health, context.metrics.registry, stop) as received:
        log.info(
            "started",
            service="api",
            host=settings.api_host,
            port=settings.api_port,
            models=list(context.models),
        )
        if settings.api_host not in ("127.0.0.1", "::1", "localhost"):
            log.warning(
                "reachable_from_elsewhere",
                remedy="let a proxy with TLS stand before it: the token is sent plain",
            )
        server.run(sockets=[listener])
    context.stores.close()
    context.probe_stores.close()
    log.info("stopped", service="api", code=0)
    return exit_code(0, received)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            remedy="give another --port (RTMLOPS_API_PORT) or --host",
        ) from error
