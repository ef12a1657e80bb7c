"""Waiting until parts answer, and saying why when they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._probes import service_is_alive, service_is_ready
from rtmlops_lib.stack._reporter import Reporter
from rtmlops_lib.stack._supervisor import Supervisor

__all__ = ["last_lines", "wait_ready", "wait_running"]

_STATE_EVERY_SECONDS = 0.5


def wait_ready(
    probes: Mapping[str, Callable[[], str | None]],
    supervisor: Supervisor,
    logs: Path,
    reporter: Reporter,
    *,
    timeout_seconds: float = 90.0,
    state: str = "ready",
) -> None:
    """Return once every probe is content.

    Parameters
    ----------
    probes : mapping of str to callable
        By program: returns None when it is ready, else why not.
    supervisor, logs
        Asked whether the program still lives, and for its last words.
    reporter : Reporter
        Told of each part that becomes ready.
    timeout_seconds : float
        For each of them.
    state : str
        What the reporter is told of a content one.

    Raises
    ------
    DependencyUnavailable
        When one died or did not get ready in time.
    """
    if not probes:
        return
    with ThreadPoolExecutor(max_workers=len(probes)) as pool:
        tasks = [
            pool.submit(
                _wait, name, probe, supervisor, logs, reporter, timeout_seconds, state
            )
            for name, probe in probes.items()
        ]
        for task in tasks:
            task.result()


def wait_running(
    ports: Mapping[str, int], supervisor: Supervisor, logs: Path, reporter: Reporter
) -> None:
    """Return once every service runs, ready or not; say what those wait for.

    Parameters
    ----------
    ports : mapping of str to int
        Where each service serves its health.
    supervisor, logs, reporter
        As for ``wait_ready``, whose errors it raises.
    """
    wait_ready(
        {name: partial(service_is_alive, port) for name, port in ports.items()},
        supervisor,
        logs,
        reporter,
        timeout_seconds=45,
        state="running",
    )
    for name, port in ports.items():
        why = service_is_ready(port)
        if why is not None:
            reporter.say(f"{name} waits: {why}")


def _wait(
    name: str,
    probe: Callable[[], str | None],
    supervisor: Supervisor,
    logs: Path,
    reporter: Reporter,
    timeout_seconds: float,
    state: str,
) -> None:
    deadline = time.monotonic() + timeout_seconds
    looked = time.monotonic()
    pids: set[int] = set()
    while True:
        why = probe()
        if why is None:
            reporter.state(name, state)
            return
        now = time.monotonic()
        if now - looked >= _STATE_EVERY_SECONDS:
            looked = now
            item = supervisor.states().get(name, {})
            pids |= {item["pid"]} if item.get("pid") else set()
            # A second process means that the first one died after it had started.
            if item.get("statename") in ("FATAL", "EXITED", "STOPPED") or len(pids) > 2:
                raise DependencyUnavailable(
                    f"{name} does not stay up: {last_lines(logs / f'{name}.log', 4)}",
                    remedy=f"see 'rtmlops logs {name}'",
                )
        if now > deadline:
            raise DependencyUnavailable(
                f"{name} was not ready within {timeout_seconds:.0f} s: {why}",
                remedy=f"see 'rtmlops logs {name}'",
            )
        time.sleep(0.1)


def last_lines(path: Path, count: int) -> str:
    """Return the end of a log, or a note that there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return "(no log)"
    return " | ".join(line.strip() for line in lines[-count:]) or "(empty log)"
