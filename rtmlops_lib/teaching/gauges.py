"""What a service says of itself, read as a monitoring system would."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

__all__ = ["free_port", "gauges"]


def free_port() -> int:
    """Return a TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gauges(port: int, *names: str) -> dict[str, float]:
    """Return a service's metrics whose names begin so, with their labels.

    Parameters
    ----------
    port : int
        Its ``--metrics-port``.
    *names : str
        Beginnings of names.

    Returns
    -------
    dict of str to float
        Empty while nobody answers.
    """
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError):
        return {}
    found = [line.rpartition(" ") for line in lines if line.startswith(names)]
    return {name: float(value) for name, _, value in found}
