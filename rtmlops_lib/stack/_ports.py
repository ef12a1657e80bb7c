"""Whether a port is free, and who holds it where it is not."""

from __future__ import annotations

import socket
from typing import Any

import psutil

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._processes import stack_of

__all__ = ["holder_of", "is_free", "require_free"]


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Describe who listens on the port, as far as this user may know."""
    pid = _listener(port)
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        text = f"{process.name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
    home = stack_of(process)
    return f"{text} of the stack in {home}" if home else text


def require_free(port: int, purpose: str, setting: str) -> None:
    """Raise where the port is taken.

    Raises
    ------
    DependencyUnavailable
        Names the port, its holder and the setting that changes it.
    """
    if is_free(port):
        return
    raise DependencyUnavailable(
        f"port {port} for {purpose} is taken by {holder_of(port)}",
        remedy=f"stop that, or set {setting} to a free port",
    )


def _listener(port: int) -> int | None:
    def matches(connection: Any) -> bool:
        return bool(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        )

    try:
        for connection in psutil.net_connections(kind="tcp"):
            if matches(connection) and connection.pid:
                return int(connection.pid)
        return None
    except psutil.Error:
        pass
    # macOS shows a user's own sockets only, process by process.
    for process in psutil.process_iter():
        try:
            if any(matches(item) for item in process.net_connections(kind="tcp")):
                return int(process.pid)
        except (psutil.Error, OSError):
            continue
    return None
