"""A disk without room, told before and while a stack is written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtmlops_lib.errors import DependencyUnavailable

__all__ = ["LEAST_FREE_BYTES", "full_disk_is_told", "require_room"]

LEAST_FREE_BYTES = 1_000_000_000
_REMEDY = "free some, or set RTMLOPS_HOME to another disk"


def require_room(home: Path) -> None:
    """Raise DependencyUnavailable where the disk of ``home`` is nearly full."""
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise DependencyUnavailable(
            f"the disk of {home} has {free / 1e6:.0f} MB free; the stack needs "
            f"{LEAST_FREE_BYTES / 1e6:.0f} MB",
            remedy=_REMEDY,
        )


@contextmanager
def full_disk_is_told(home: Path) -> Iterator[None]:
    """Turn "no space left" into a message with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DependencyUnavailable(
            f"no space left writing {error.filename or home}", remedy=_REMEDY
        ) from error
