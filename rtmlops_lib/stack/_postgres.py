"""PostgreSQL on the stack's own data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.stack._home import StackHome
from rtmlops_lib.stack._pg_binaries import PostgresBinaries
from rtmlops_lib.stack._program import Program
from rtmlops_lib.stack._reporter import Reporter

__all__ = ["PostgresPart"]

ROLE = "rtmlops"
DATABASE = "rtmlops"
_INIT_SECONDS = 120
# PostgreSQL refuses to run as root. Tried in this order; the last is made if need be.
_USERS = ("postgres", "pgserver")


class PostgresPart:
    """The database server of a stack.

    Each kind and major version has a data folder of its own, so that changing
    ``--postgres`` back and forth loses nothing.

    Parameters
    ----------
    home : StackHome
        Data lie below its folder ``postgres``.
    port : int
        Where it listens, on the loopback only.
    binaries : PostgresBinaries
        Which server to run.
    """

    name = "postgres"

    def __init__(self, home: StackHome, port: int, binaries: PostgresBinaries) -> None:
        self._home = home
        self.port = port
        self.binaries = binaries
        self.data = home.postgres / f"{binaries.kind}-{binaries.major}"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of one database of the server."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def prepare(self, reporter: Reporter | None = None) -> None:
        """Make the data folder unless it is there.

        Raises
        ------
        DependencyUnavailable
            When the server's programs cannot run.
        """
        user = _unprivileged_user()
        if user is not None:
            self._open_to(user, reporter or Reporter())
        if (self.data / "PG_VERSION").is_file():
            return
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user is not None:
            os.chown(fresh, user.pw_uid, user.pw_gid)
        self._run(
            [
                str(self.binaries.folder / "initdb"),
                f"--pgdata={fresh}",
                f"--username={ROLE}",
                # Loopback only, and whoever is on this machine: a practice server.
                "--auth=trust",
                "--encoding=UTF8",
                # The same order of strings on every machine.
                "--locale=C",
            ],
            user,
        )
        # Renamed when complete: one that was interrupted starts over.
        os.replace(fresh, self.data)

    def program(self) -> Program:
        """Return how the supervisor runs the server."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            # TCP alone: a socket's path may be too long for the system.
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "128MB",
            "max_wal_size": "1GB",
            "checkpoint_timeout": "15min",
            "log_checkpoints": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            # Compiling costs more than the small queries here take.
            "jit": "off",
        }
        if self.binaries.timescaledb:
            options |= {
                "shared_preload_libraries": "timescaledb",
                "timescaledb.telemetry_level": "off",
                "timescaledb.max_background_workers": 8,
                "max_worker_processes": 19,
            }
        user = _unprivileged_user()
        return Program(
            name=self.name,
            command=(
                str(self.binaries.folder / "postgres"),
                "-D",
                str(self.data),
                *(f"--{name}={value}" for name, value in options.items()),
            ),
            folder=self.data,
            priority=10,
            # TERM waits until all clients have left; INT rolls back and ends.
            stop_signal="INT",
            stop_seconds=20,
            user=user.pw_name if user else None,
            port=self.port,
        )

    def _open_to(self, user: Any, reporter: Reporter) -> None:
        """Let the server's user reach its programs and its data, no more."""
        for path in (self.data, self.binaries.folder):
            for folder in path.parents:
                mode = folder.stat().st_mode if folder.exists() else stat.S_IXOTH
                if not mode & stat.S_IXOTH:
                    folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                    reporter.say(
                        f"{folder} can now be traversed by others (not listed): "
                        f"PostgreSQL refuses to run as root and runs as "
                        f"{user.pw_name}"
                    )
        if self.binaries.kind != "embedded":
            return
        probe = [str(self.binaries.folder / "postgres"), "--version"]
        if not self._attempt(probe, user)[0]:
            # Installed under a strict umask: open the wheel's files for reading.
            package = self.binaries.folder.parent.parent
            for tree in (package, *package.parent.glob(f"{package.name}.libs")):
                for path in (tree, *tree.rglob("*")):
                    if not path.is_symlink():
                        mode = stat.S_IMODE(path.stat().st_mode)
                        path.chmod(mode | ((mode & 0o500) >> 6))

    def _run(self, command: list[str], user: Any) -> None:
        fine, output = self._attempt(command, user)
        if not fine:
            raise DependencyUnavailable(
                f"{Path(command[0]).name} failed: {output.strip()[-400:]}",
                remedy="check the disk and the folder's rights, then 'rtmlops up'",
            )

    def _attempt(self, command: list[str], user: Any) -> tuple[bool, str]:
        who: dict[str, Any] = {}
        if user is not None:
            who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        try:
            result = subprocess.run(
                command,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_INIT_SECONDS,
                check=False,
                **who,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return False, str(error)
        return result.returncode == 0, result.stdout


def _unprivileged_user() -> Any:
    """Return who runs the server: None for the caller, somebody else for root."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    try:
        subprocess.run(
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", _USERS[-1]],  # noqa: S607
            check=True,
            capture_output=True,
            timeout=30,
        )
        return pwd.getpwnam(_USERS[-1])
    except (OSError, subprocess.SubprocessError, KeyError):
        return pwd.getpwnam("nobody")
