"""A TCP proxy that can stop forwarding without closing anything."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class StallProxy:
    """Forwards bytes between clients and one server, until told to stall.

    A stalled proxy keeps reading, so that neither side's kernel sees a full window
    or a missing acknowledgement: the silence that keepalives cannot notice.

    Parameters
    ----------
    host, port : str, int
        The server.

    Examples
    --------
    ``with StallProxy("127.0.0.1", 5432) as proxy: … proxy.stall() … proxy.resume()``
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stalled = threading.Event()
        self._stall_before: bytes | None = None
        self._stall_after: bytes | None = None
        self._sockets: list[socket.socket] = []
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def before(cls, url: str) -> StallProxy:
        """Return a proxy before the server of a database URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 5432)

    def url(self, url: str) -> str:
        """Return the URL with the proxy in the server's place."""
        parts = urlsplit(url)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{self.port}"))

    def stall(self) -> None:
        """Swallow everything from now on, in both directions."""
        self._stalled.set()

    def stall_at(self, text: bytes, *, delivered: bool) -> None:
        """Stall when a client sends ``text``, which the server gets or not."""
        if delivered:
            self._stall_after = text
        else:
            self._stall_before = text

    def resume(self, *, drop: bool = True) -> None:
        """Forward what new connections send; drop the stalled ones, or leave them.

        What is left stays silent, and the server believes that its client is there.
        """
        self._stall_before = self._stall_after = None
        # New before the old ones go: a client may be back at once.
        self._stalled = threading.Event()
        if drop:
            self._drop()

    def __enter__(self) -> StallProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        sockets, self._sockets = self._sockets, []
        for item in sockets:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server, 5)
            except OSError:
                continue
            server.settimeout(None)
            self._sockets += [client, server]
            stalled = self._stalled
            for source, target, watched in (
                (client, server, True),
                (server, client, False),
            ):
                threading.Thread(
                    target=self._pump,
                    args=(source, target, stalled, watched),
                    daemon=True,
                ).start()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        stalled: threading.Event,
        watched: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                before, after = self._stall_before, self._stall_after
                if watched and before is not None and before in data:
                    stalled.set()
                forward = not stalled.is_set()
                if watched and after is not None and after in data:
                    # Set before sending, or the answer might slip through.
                    stalled.set()
                if forward:
                    target.sendall(data)
            if not stalled.is_set():
                target.shutdown(socket.SHUT_WR)
