"""The folder of one local stack: what lies where, and whose it is."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtmlops_lib.errors import DependencyUnavailable, UsageError

__all__ = ["StackHome"]

_MARKER = "stack.json"
_LOCK = ".lock"
# Everything a stack, its services and the chapters write below its home: 'down -v'
# removes these and no more.
_OURS = (
    *("env", "kafka", "postgres", "mlflow", "logs", "run", "jars"),
    *("models", "references", "chapters"),
    *(_MARKER, _LOCK),
)
# sockaddr_un holds 104 bytes on macOS; supervisord binds a name with its pid
# appended before it renames it.
_LONGEST_SOCKET_PATH = 90
_LOCK_SECONDS = 300.0


class StackHome:
    """Paths and the record of a stack's home (``.rtmlops``).

    Parameters
    ----------
    path : Path
        The folder; it need not exist yet.

    Examples
    --------
    >>> StackHome(Path("/srv/demo/.rtmlops")).env_file
    PosixPath('/srv/demo/.rtmlops/env')
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.env_file = self.path / "env"
        self.kafka = self.path / "kafka"
        self.postgres = self.path / "postgres"
        self.mlflow = self.path / "mlflow"
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.marker = self.path / _MARKER

    @property
    def exists(self) -> bool:
        """Whether a stack was ever set up here."""
        return self.marker.is_file()

    @property
    def socket(self) -> Path:
        """The supervisor's control socket, in a short folder where need be."""
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        return self._short_folder() / "supervisor.sock"

    def _short_folder(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        # Not $TMPDIR: it differs between shells, and the next one must find it too.
        return Path("/tmp") / f"rtmlops-{os.getuid()}-{digest}"  # noqa: S108

    def create(self) -> None:
        """Make the folders; a folder that is not a stack's is left alone.

        Raises
        ------
        UsageError
            Where the folder holds something else, or cannot be written.
        """
        text = str(self.path)
        if any(part in text for part in (" #", " ;", "\n")):
            raise UsageError(
                f"the folder {text!r} has a blank before '#' or ';' in its name",
                remedy="rename it, or set RTMLOPS_HOME to another folder",
            )
        if self.path.is_dir() and not self.exists:
            strange = [p.name for p in self.path.iterdir() if p.name not in _OURS]
            if strange:
                raise UsageError(
                    f"{self.path} is no stack's home: it holds {strange[0]!r}",
                    remedy="set RTMLOPS_HOME to a new or empty folder",
                )
        try:
            for folder in (self.kafka, self.postgres, self.mlflow, self.logs, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            if self.socket.parent != self.run:
                self.socket.parent.mkdir(mode=0o700, exist_ok=True)
                owner = self.socket.parent.stat().st_uid
                if owner != os.getuid():
                    raise UsageError(
                        f"{self.socket.parent} belongs to user {owner}",
                        remedy="remove it, or set RTMLOPS_HOME to a shorter path",
                    )
            if not self.exists:
                self.write_record({})
        except PermissionError as error:
            raise UsageError(
                f"cannot write {error.filename}",
                remedy="run as its owner, or set RTMLOPS_HOME to a folder of yours",
            ) from error

    def read_record(self) -> dict[str, Any]:
        """Return what ``up`` noted last time; {} where nothing is."""
        try:
            record = json.loads(self.marker.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return record if isinstance(record, dict) else {}

    def write_record(self, record: dict[str, Any]) -> None:
        """Note what the next ``up``, ``status`` and ``down`` must know."""
        text = json.dumps({"made_by": "rtmlops", **record}, indent=2) + "\n"
        self.write_atomically(self.marker, text)

    def write_atomically(self, path: Path, text: str, *, mode: int = 0o644) -> None:
        """Replace a file in one step: a reader sees the old or the new text."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        with open(fresh, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Let one command at a time change the stack; the kernel frees it at death."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / _LOCK, "a+", encoding="utf-8") as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise DependencyUnavailable(
                            f"another rtmlops command has held {file.name} for "
                            f"{_LOCK_SECONDS:.0f} s",
                            remedy=f"wait for it to end, then run '{what}' again",
                        ) from None
                    time.sleep(0.1)
            yield

    def wipe(self) -> None:
        """Remove what the stack wrote, and the folder itself if nothing else is in it.

        Raises
        ------
        UsageError
            Where the folder is no stack's home.
        """
        if not self.path.is_dir():
            return
        if not self.exists or self.read_record().get("made_by") != "rtmlops":
            raise UsageError(
                f"{self.path} is no stack's home (it has no {_MARKER}); "
                "nothing was removed",
                remedy="remove it by hand if that is what you want",
            )
        if self.socket.parent != self.run:
            shutil.rmtree(self.socket.parent, ignore_errors=True)
        # The marker goes last: a wipe that was interrupted can be run again.
        for name in sorted(_OURS, key=lambda item: item == _MARKER):
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()
