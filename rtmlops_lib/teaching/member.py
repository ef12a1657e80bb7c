"""A group member in a process of its own, that tells what it owns and since when."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from rtmlops_lib.teaching.process import LabProcess

__all__ = ["GroupMember", "ownership"]


class GroupMember:
    """A consumer that does nothing but belong to a group.

    ``Lab.member`` starts one. It is a process, so that it can be killed as a crash
    would, and it reports each change of its partitions with the time of the change.

    Parameters
    ----------
    process : LabProcess
        What runs it.

    Notes
    -----
    Taught in chapter 03.
    """

    def __init__(self, process: LabProcess) -> None:
        self.name = process.name
        self.ended_at: float | None = None
        self._process = process

    def __repr__(self) -> str:
        state = f"owns {self.owns}" if self._process.running else "ended"
        return f"GroupMember({self.name}, {state})"

    @property
    def changes(self) -> list[tuple[float, list[int]]]:
        """Seconds since 1970, and the partitions owned from then on."""
        text = self._process.output.read_text(encoding="utf-8")
        found = [
            (float(change["at"]), list(change["owns"]))
            for line in text.splitlines(keepends=True)
            # The last line may be half written.
            if line.endswith("\n")
            for change in [json.loads(line)]
        ]
        if self.ended_at is not None:
            found = [(at, owned) for at, owned in found if at < self.ended_at]
            found.append((self.ended_at, []))
        return found

    @property
    def owns(self) -> list[int]:
        """The partitions that it owns now."""
        return self.changes[-1][1] if self.changes else []

    def leave(self) -> float:
        """Let it leave the group in order; return when that began."""
        self.ended_at = time.time()
        self._process.stop()
        return self.ended_at

    def kill(self) -> float:
        """End it as a crash would; return when."""
        self._process.kill()
        self.ended_at = time.time()
        return self.ended_at


def ownership(members: Sequence[GroupMember], until: float) -> pd.DataFrame:
    """Return who owned what when, times in seconds since 1970.

    A row is a stretch without interruption; a rebalance that leaves a partition where
    it was does not end one.

    Parameters
    ----------
    members : sequence of GroupMember
        Those that belonged to one group, the dead too.
    until : float
        The end of stretches that still last.
    """
    import pandas as pd

    rows = []
    for member in members:
        since: dict[int, float] = {}
        for at, owned in [*member.changes, (until, [])]:
            for partition in since.keys() - owned:
                rows.append((member.name, partition, since.pop(partition), at))
            for partition in owned:
                since.setdefault(partition, at)
    return pd.DataFrame(rows, columns=["member", "partition", "start", "end"])
