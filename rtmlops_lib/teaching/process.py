"""A service of the library as a process of the chapter's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtmlops_lib.errors import UsageError

__all__ = ["LabProcess", "end_leftovers"]

_TERM_SECONDS = 12.0
_RTMLOPS = ("-m", "rtmlops_lib.cli")


class LabProcess:
    """One running program; what it prints and what it logs go to files.

    Parameters
    ----------
    name : str
        What the chapter calls it.
    arguments : sequence of str
        What follows ``rtmlops``.
    environ : mapping of str to str
        Its environment.
    folder : Path
        Where log, output and pid file go.
    command : sequence of str
        What ``python`` runs with these arguments; ``rtmlops`` by default.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        command: Sequence[str] = _RTMLOPS,
    ) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        program = "rtmlops" if command == _RTMLOPS else "python " + " ".join(command)
        self.line = " ".join([program, *arguments])
        self.log = folder / f"{name}.log"
        self.output = folder / f"{name}.out"
        self._pid_file = folder / f"{name}.pid"
        self.started = time.monotonic()
        with self.log.open("ab") as log, self.output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)
                [sys.executable, *command, *arguments],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                # Not in the kernel's group: interrupting a cell leaves it alone.
                start_new_session=True,
            )
        self._pid_file.write_text(
            json.dumps({"pid": self.pid, "started": _start_of(self.pid)})
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself; return its exit code.

        Raises
        ------
        UsageError
            When it has not ended in time.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"{self.name} did not end within {timeout:g} s",
                remedy=f"its log is {self.log}",
            ) from None
        self._pid_file.unlink(missing_ok=True)
        return code

    def stop(self) -> int:
        """Ask it to end (SIGTERM); return its exit code."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_TERM_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._pid_file.unlink(missing_ok=True)
        return int(self._process.wait(5))

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        if self.running:
            self._process.kill()
        self._process.wait(5)
        self._pid_file.unlink(missing_ok=True)

    def tail(self, lines: int = 10) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def end_leftovers(folder: Path) -> list[str]:
    """Kill what a kernel that died left running; return the names."""
    ended = []
    for file in sorted(folder.glob("*.pid")):
        with contextlib.suppress(ValueError, KeyError, OSError):
            record = json.loads(file.read_text())
            # The pid may be somebody else's by now; its start time tells.
            started = _start_of(int(record["pid"]))
            if started is not None and started == record["started"]:
                os.kill(int(record["pid"]), signal.SIGKILL)
                ended.append(file.stem)
        file.unlink(missing_ok=True)
    return ended


def _start_of(pid: int) -> float | None:
    """Return when a process started, None where there is none or it cannot be told."""
    try:
        import psutil

        return float(psutil.Process(pid).create_time())
    except Exception:  # gone, not ours, or psutil is not installed
        return None
