"""Finding and ending the processes of a stack, whoever started them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from rtmlops_lib.stack._environment import MARKER

__all__ = ["end_processes", "resident_bytes", "stack_of", "stack_processes"]


def stack_of(process: Any) -> str | None:
    """Return the home of the stack that started a process, where it can be read."""
    try:
        found = process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None
    return str(found) if found else None


def stack_processes(home: Path) -> list[Any]:
    """Return the live processes that belong to the stack at ``home``.

    They carry its marker in their environment; PostgreSQL's workers write their
    title over theirs, and are known by their data folder, where they run.
    """
    wanted = str(home)
    data = os.path.join(os.path.realpath(home / "postgres"), "")
    skipped = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter(["name"]):
        if process.pid in skipped:
            continue
        if stack_of(process) == wanted:
            found.append(process)
        elif str(process.info["name"] or "").startswith("postgres"):
            try:
                if os.path.join(process.cwd(), "").startswith(data):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
    return [process for process in found if _alive(process)]


def end_processes(processes: Iterable[Any], *, patience_seconds: float = 10.0) -> int:
    """Ask processes to end, then kill what is left; return how many had to be."""
    live = list(processes)
    for process in live:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, stubborn = psutil.wait_procs(live, timeout=patience_seconds)
    for process in stubborn:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(stubborn, timeout=5)
    return len(stubborn)


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and its children, shared pages counted once.

    Uses the proportional set where the system tells it (Linux), else the resident
    one: PostgreSQL's processes share their buffers.
    """
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in family:
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", 0) or memory.rss
        except (psutil.Error, OSError):
            try:
                total += process.memory_info().rss
            except (psutil.Error, OSError):
                continue
    return total


def _alive(process: Any) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
