"""Traces of the machine that built the book."""

from __future__ import annotations

import getpass
import re
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["find_leaks", "machine_traces"]

_TEXT = {".html", ".ipynb", ".js", ".json", ".md", ".svg", ".txt", ".css", ".xml"}


def machine_traces(root: Path) -> list[str]:
    """Return what must not be published: folders and the machine's name."""
    traces = {str(root), str(Path.home()), tempfile.gettempdir(), "/tmp"}  # noqa: S108
    names = {socket.gethostname(), socket.gethostname().split(".")[0]}
    names.discard("localhost")
    # A user called `root` or `data` would be found in ordinary prose.
    user = getpass.getuser()
    if user != "root":
        traces |= {f"/home/{user}", f"/Users/{user}"}
    return sorted(t for t in traces if len(t) > 1) + sorted(
        name for name in names if len(name) >= 4
    )


def find_leaks(folder: Path, traces: Iterable[str]) -> list[str]:
    """Return ``file: trace`` for every trace in the text files under a folder."""
    patterns = {
        trace: re.compile(rf"(?<![\w./-]){re.escape(trace)}(?![\w-])")
        for trace in traces
    }
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _TEXT or not path.is_file():
            continue
        # Vendored scripts are the same on every machine.
        if "_static" in path.parts and path.suffix in (".js", ".css"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for trace, pattern in patterns.items():
            if pattern.search(text):
                found.append(f"{path.relative_to(folder)}: {trace}")
    return found
