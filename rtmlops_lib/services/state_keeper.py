"""Keeps a stateful handler's state in step with the stored offsets."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.handler import Handler, StatefulHandler
from rtmlops_lib.services.partition import OwnedPartition
from rtmlops_lib.services.report import Report
from rtmlops_lib.store import Claim, Snapshot
from rtmlops_lib.streams import RawRecords

__all__ = ["StateKeeper"]

log = get_logger(__name__)

# No partition's state is stored more often, and none takes up more of the loop's time
# than this share: a fleet's state may be large.
SNAPSHOT_SECONDS = 10.0
SNAPSHOT_SHARE = 0.02


class StateKeeper:
    """Where reading begins, which records are only learned from, when state is stored.

    A partition's state is that after every record below its ``position``. It begins
    at a snapshot, or some way before the stored offset; the records from there to
    the stored offset teach the handler and leave no other trace.

    Parameters
    ----------
    handler : Handler
        Nothing here does anything for one without state.
    report : Report
    """

    def __init__(self, handler: Handler, report: Report) -> None:
        self._handler = handler if isinstance(handler, StatefulHandler) else None
        self._report = report

    @property
    def active(self) -> bool:
        """Whether there is any state to keep."""
        return self._handler is not None

    def begin(self, owned: OwnedPartition, claim: Claim, log_start: int) -> int:
        """Take a partition's state up; return the offset from which to read."""
        stored = claim.next_offset
        handler = self._handler
        if handler is None:
            return stored
        start = max(log_start, stored - handler.history_records)
        snapshot = self._usable(claim)
        if snapshot is not None:
            try:
                handler.restore(owned.tp, snapshot.data)
            except UsageError as error:
                handler.dropped([owned.tp])
                self._report.snapshot_refused(owned.tp, error.message)
            else:
                start = max(log_start, snapshot.next_offset)
                owned.saved = snapshot.next_offset
                owned.save_from = (
                    time.monotonic() + SNAPSHOT_SECONDS - snapshot.age_seconds
                )
        if start < stored:
            log.info(
                "learning_again",
                topic=owned.tp.topic,
                part=owned.tp.partition,
                records=stored - start,
                from_snapshot=owned.saved >= 0,
            )
        return start

    def _usable(self, claim: Claim) -> Snapshot | None:
        # One from beyond the stored offset knows what is to be scored yet.
        state = claim.state
        return None if state is None or state.next_offset > claim.next_offset else state

    def sorted_out(
        self, owned: OwnedPartition, raw: RawRecords
    ) -> tuple[RawRecords | None, RawRecords | None]:
        """Return the records to learn from, and those to be written.

        What the state has seen before is in neither.
        """
        if self._handler is None:
            return None, raw
        if raw.offsets[0] >= max(owned.position, owned.stored):
            return None, raw
        offsets = raw.offsets
        fresh = sum(offset < owned.position for offset in offsets)
        new = max(fresh, sum(offset < owned.stored for offset in offsets))
        return (
            raw.part(slice(fresh, new)) if new > fresh else None,
            raw.part(slice(new, None)) if new < len(raw) else None,
        )

    def due(
        self, partitions: Iterable[OwnedPartition], *, last: bool = False
    ) -> dict[OwnedPartition, Snapshot]:
        """Return the states that shall be stored with the next write.

        Parameters
        ----------
        partitions : iterable of OwnedPartition
            Those that may be written.
        last : bool
            Whether nothing will be written afterwards: then how long ago the former
            snapshot was stored does not matter.
        """
        found: dict[OwnedPartition, Snapshot] = {}
        if self._handler is None:
            return found
        for owned in partitions:
            now = time.monotonic()
            if owned.saved >= owned.position or not (last or now >= owned.save_from):
                continue
            data = self._handler.snapshot(owned.tp)
            if data is None:
                continue
            found[owned] = Snapshot(owned.tp, owned.position, data)
            owned.saved = owned.position
            done = time.monotonic()
            pause = max(SNAPSHOT_SECONDS, (done - now) / SNAPSHOT_SHARE)
            owned.save_from = done + pause
        return found
