"""supervisord as the stack's process supervisor, spoken to over its socket."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._processes import end_processes, stack_processes
from rtmlops_lib.stack._program import Program

__all__ = ["Supervisor"]

_START_SECONDS = 15.0
_CALL_SECONDS = 30.0


class Supervisor:
    """The one supervisord of a stack.

    Parameters
    ----------
    home : StackHome
        Where its configuration, log and socket lie.
    """

    def __init__(self, home: StackHome) -> None:
        self._home = home
        self._configuration = home.run / "supervisord.conf"
        self._log = home.logs / "supervisord.log"

    def configuration(self, programs: Sequence[Program]) -> str:
        """Return the text of supervisord's configuration file."""

        def escape(path: Path) -> str:
            return str(path).replace("%", "%%")

        lines = [
            "[unix_http_server]",
            f"file={escape(self._home.socket)}",
            "chmod=0600",
            "[supervisord]",
            f"logfile={escape(self._log)}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            "loglevel=info",
            f"pidfile={escape(self._home.run / 'supervisord.pid')}",
            "identifier=rtmlops",
            "umask=022",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface",
        ]
        if os.getuid() == 0:
            # Said on purpose: else it warns that it runs as root by accident.
            lines.insert(lines.index("[supervisord]") + 1, "user=root")
        # Relative to the home, where it is started: supervisord expands percent signs
        # in this one setting twice.
        logs = self._home.logs.relative_to(self._home.path)
        sections = [program.section(logs) for program in programs]
        return "\n".join(lines) + "\n" + "\n".join(sections)

    def configured_as(self, programs: Sequence[Program]) -> bool:
        """Whether the configuration in force is the one for ``programs``."""
        try:
            text = self._configuration.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return text == self.configuration(programs)

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            self._call("supervisor.getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self, programs: Sequence[Program], environ: Mapping[str, str]) -> None:
        """Write the configuration and start supervisord as a daemon.

        Raises
        ------
        DependencyUnavailable
            When it does not answer in time.
        """
        self._home.write_atomically(
            self._configuration, self.configuration(programs), mode=0o600
        )
        command = [sys.executable, "-m", "supervisor.supervisord"]
        result = subprocess.run(
            [*command, "-c", str(self._configuration)],
            env=dict(environ),
            cwd=self._home.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        deadline = time.monotonic() + _START_SECONDS
        while result.returncode == 0 and time.monotonic() < deadline:
            if self.is_running():
                return
            time.sleep(0.05)
        raise DependencyUnavailable(
            f"supervisord did not start: {result.stdout.strip()[-400:]}",
            remedy=f"see {self._log}; then run 'rtmlops down' and 'rtmlops up'",
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """Return supervisord's knowledge of each program, by name."""
        return {
            item["name"]: item for item in self._call("supervisor.getAllProcessInfo")
        }

    def start_program(self, name: str) -> None:
        """Start one program; its readiness is somebody else's question."""
        self._tolerant("supervisor.startProcess", name, False, fine=(60,))

    def stop_program(self, name: str) -> None:
        """Stop one program and wait for it."""
        self._tolerant("supervisor.stopProcess", name, True, fine=(70,))

    def shut_down(self, *, patience_seconds: float = 60.0) -> int:
        """Stop everything; return how many processes had to be killed.

        Works whatever state it finds: no supervisord, a dead one whose programs live
        on, or one that does not answer.
        """
        if self.is_running():
            try:
                self._stop_programs()
                self._call("supervisor.shutdown")
            except (OSError, http.client.HTTPException, xmlrpc.client.Error):
                pass  # it went while we asked; what is left is dealt with below
            else:
                deadline = time.monotonic() + patience_seconds
                while time.monotonic() < deadline and stack_processes(self._home.path):
                    time.sleep(0.1)
        left = self._end_orphans()
        (self._home.run / "supervisord.pid").unlink(missing_ok=True)
        self._home.socket.unlink(missing_ok=True)
        return left

    def _stop_programs(self) -> None:
        # supervisord stops one after the other by priority; those of no consequence
        # for each other (MLflow, Kafka, PostgreSQL) can go at the same time.
        names = [n for n, item in self.states().items() if item["pid"]]
        services = [n for n in names if n not in ("kafka", "postgres", "mlflow")]
        for group in (services, [n for n in names if n not in services]):
            for name in group:
                self._tolerant("supervisor.stopProcess", name, False, fine=(70,))
            deadline = time.monotonic() + 25
            while time.monotonic() < deadline:
                states = self.states()
                if not any(states[name]["pid"] for name in group):
                    break
                time.sleep(0.05)

    def _end_orphans(self) -> int:
        left = stack_processes(self._home.path)
        # The supervisor first: it would restart what ends.
        boss = [p for p in left if "supervisor.supervisord" in " ".join(_cmdline(p))]
        killed = end_processes(boss, patience_seconds=30)
        for _attempt in range(3):
            rest = stack_processes(self._home.path)
            if not rest:
                break
            # Only the heads of families: PostgreSQL's workers take their postmaster's
            # orders, and would turn a signal of ours into something else.
            heads = _heads(rest)
            for process in heads:
                if _is_postgres(process):
                    # TERM means "once all clients have left", INT "now".
                    process.send_signal(signal.SIGINT)
            killed += end_processes(heads, patience_seconds=15)
            psutil.wait_procs(rest, timeout=5)
        return killed

    def _tolerant(self, method: str, *args: Any, fine: tuple[int, ...]) -> None:
        try:
            self._call(method, *args)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in fine:
                raise DependencyUnavailable(
                    f"{method}({args[0]}): {fault.faultString}",
                    remedy=f"see 'rtmlops logs {args[0]}'",
                ) from None

    def _call(self, method: str, *args: Any) -> Any:
        transport = _UnixTransport(str(self._home.socket), _CALL_SECONDS)
        with xmlrpc.client.ServerProxy("http://localhost", transport) as server:
            return getattr(server, method)(*args)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout_seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, self._timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _cmdline(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _is_postgres(process: Any) -> bool:
    try:
        return "postgres" in str(process.name()) and process.is_running()
    except psutil.Error:
        return False


def _heads(processes: list[Any]) -> list[Any]:
    pids = {process.pid for process in processes}
    heads = []
    for process in processes:
        try:
            if process.ppid() not in pids:
                heads.append(process)
        except psutil.Error:
            continue
    return heads
