"""What every request passes before its route, and every answer after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtmlops_lib.metrics import ApiMetrics
from rtmlops_lib.services.api.credentials import Credentials
from rtmlops_lib.services.api.problems import problem

__all__ = ["BodyLimit", "Gate", "Observed", "SecureHeaders"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What is sent too much is read for so long, and thrown away: a client that is cut off
# while it sends does not read the answer.
LINGER_SECONDS = 2.0
# Nothing from elsewhere, nothing inline: whatever gets into the page does not run.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not 'no-referrer': a browser would send 'Origin: null' with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class SecureHeaders:
    """Adds the headers that keep browsers from being used against us."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class Observed:
    """Counts and times requests by route; a path that is no route is ``other``."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 500, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            # Never the path itself: callers choose it, and each would be a series.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            labels = (self._metrics.service, method, route)
            self._metrics.requests.labels(*labels, str(status)).inc()
            seconds = time.monotonic() - begun
            self._metrics.request_seconds.labels(*labels).observe(seconds)


class Gate:
    """Lets nobody pass without the token, but to what is listed.

    Everything below ``/page/`` asks for its session itself; a path that does not
    exist needs the token like one that does.
    """

    OPEN = frozenset({"/", "/healthz", "/readyz", "/metrics"})
    SESSION = "/page/"

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"]
        given = Headers(scope=scope).get("authorization")
        free = path in self.OPEN or path.startswith(self.SESSION)
        if free or self._credentials.is_bearer(given):
            await self._app(scope, receive, send)
            return
        error = "the token is wrong" if given else "this needs a token"
        answer = problem(
            401,
            error,
            "send the header 'Authorization: Bearer <RTMLOPS_API_TOKEN>'",
            headers={"WWW-Authenticate": 'Bearer realm="rtmlops"'},
        )
        await answer(scope, receive, send)


class BodyLimit:
    """Reads a request's body, up to a size and within a time, before its route runs.

    Parameters
    ----------
    limits : mapping of str to int
        Bytes, by path.
    default : int
        Bytes, for all other paths.
    seconds : float
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Mapping[str, int],
        default: int,
        seconds: float,
    ) -> None:
        self._app = app
        self._limits = dict(limits)
        self._default = default
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], self._default)
        length = Headers(scope=scope).get("content-length", "0")
        # As text first: Python refuses to read a number of thousands of digits.
        announced = int(length[:18]) if length.isdecimal() else 0
        try:
            body = await self._read(receive, limit, too_much=announced > limit)
        except TimeoutError:
            await problem(408, "the body did not arrive in time")(scope, receive, send)
            return
        if body is None:
            answer = problem(
                413, f"the body is larger than {limit:,} bytes", "send less at a time"
            )
            await answer(scope, receive, send)
            return
        again = False

        async def replay() -> Message:
            nonlocal again
            if again:
                return await receive()
            again = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(
        self, receive: Receive, limit: int, *, too_much: bool
    ) -> bytes | None:
        """Return the body, None for one that is too large."""
        if too_much:
            await _drain(receive)
            return None
        body = bytearray()
        async with asyncio.timeout(self._seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return bytes(body)
                body += message.get("body", b"")
                if len(body) > limit:
                    break
                if not message.get("more_body"):
                    return bytes(body)
        if message.get("more_body"):
            await _drain(receive)
        return None


async def _drain(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while True:
                message = await receive()
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return
