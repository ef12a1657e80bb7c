"""Watches new champions beside those they replaced, and rolls back the worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from rtmlops_lib.errors import CheckFailed, UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import (
    CHAMPION,
    PREVIOUS,
    PROBATION,
    WATCHING,
    Move,
    complete_moves,
    move_aliases,
)
from rtmlops_lib.models.probation import (
    BLOCK_SECONDS,
    ProbationVerdict,
    compare_blocks,
)
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store import Probation, ProbationState
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["ProbationWatch"]

log = get_logger(__name__)

# A monitor that was away longer than this finds a champion that has proved itself.
RECENT_SECONDS = 3_600.0
# What is compared in one question: all that a monitor missed may be days.
SLICE_SECONDS = 3_600.0


class ProbationWatch:
    """The probation of one model's champion.

    Everything it decides on is in the registry and the database: another process, or
    this one after a kill, goes on from there.

    Parameters
    ----------
    registry : ModelRegistry
    store : PostgresStore
    spec : StreamSpec
    name : str
        The registered model.
    seconds : float
        How long a probation lasts, in event time; 0 for none.
    on_rollback : callable
        Told why, and of what, before it is written down that a probation ended so:
        after a kill in between it is told again.
    beat : callable
        Told that the watch is alive, slice by slice.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        store: PostgresStore,
        spec: StreamSpec,
        name: str,
        *,
        seconds: float,
        on_rollback: Callable[[str, Mapping[str, Any]], None] = lambda *_: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.verdict: ProbationVerdict | None = None
        self._registry = registry
        self._store = store
        self._spec = spec
        self._name = name
        self._seconds = seconds
        self._on_rollback = on_rollback
        self._beat = beat
        self._blocks: dict[int, tuple[int, float, float]] = {}
        self._of: int | None = None
        self._compared_until: datetime | None = None
        self._settled: tuple[int, int] | None = None

    def step(
        self, aliases: Mapping[str, int], newest: datetime
    ) -> tuple[Probation | None, ProbationState | None]:
        """Look once; return the open probation, and what was decided just now.

        Parameters
        ----------
        aliases : mapping of str to int
            Where they stand.
        newest : datetime
            Time of the newest stored event.
        """
        if complete_moves(self._registry, self._store, self._name):
            aliases = self._registry.aliases(self._name)
        watched = self._store.probations.watching(self._name)
        if watched is None:
            watched = self._open(aliases, newest)
            if watched is None:
                return None, None
        if aliases.get(CHAMPION) != watched.version:
            return None, self._overtaken(watched)
        if aliases.get(PREVIOUS) != watched.former_version:
            self._decide(watched, "superseded", "the former champion is no longer kept")
            return None, "superseded"
        self._tag(watched.version, WATCHING)
        return self._judge(watched, newest)

    def held_until(self, cooldown_seconds: float) -> datetime | None:
        """Return until when alerts are held because of a rollback."""
        for one in self._store.probations.newest(model_name=self._name, limit=1):
            if one.state == "rolled_back" and one.decided_at is not None:
                return one.decided_at + timedelta(seconds=cooldown_seconds)
        return None

    def _open(self, aliases: Mapping[str, int], newest: datetime) -> Probation | None:
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if not self._seconds or champion is None or previous in (None, champion):
            return None
        if self._settled == (champion, previous):
            return None
        is_new = None if previous is None else self._is_new(champion, previous)
        if is_new is False:
            self._settled = (champion, previous or 0)
        if not is_new or previous is None:
            return None
        watched = self._store.probations.begin(
            self._name,
            champion,
            previous,
            started_at=newest,
            ends_at=newest + timedelta(seconds=self._seconds),
        )
        log.info(
            "probation_begun",
            model=self._name,
            version=watched.version,
            former_version=watched.former_version,
            until=watched.ends_at.isoformat(),
        )
        return watched

    def _is_new(self, champion: int, previous: int) -> bool | None:
        """Return whether it came lately and was not watched; None: it is coming."""
        for one in self._store.probations.newest(model_name=self._name):
            if (one.version, one.former_version) == (champion, previous):
                return False
        since = datetime.now(UTC) - timedelta(
            seconds=max(self._seconds, RECENT_SECONDS)
        )
        events = self._store.model_events(self._name)
        for event in events.to_dict("records"):
            if event["alias"] == CHAMPION:
                if pd.isna(event["done_at"]):
                    return None
                return bool(
                    event["action"] == "promote"
                    and event["to_version"] == champion
                    and event["done_at"] >= since
                )
        return False

    def _overtaken(self, watched: Probation) -> ProbationState:
        try:
            reason = self._registry.version(self._name, watched.version).rolled_back
        except UsageError:
            self._decide(watched, "superseded", "the version was deleted")
            return "superseded"
        if reason is None:
            self._decide(watched, "superseded", "another version is champion")
            return "superseded"
        # By a person, or by us before we were killed.
        self._tag(watched.version, "rolled_back")
        self._on_rollback(reason, {})
        self._decide(watched, "rolled_back", reason)
        return "rolled_back"

    def _judge(
        self, watched: Probation, newest: datetime
    ) -> tuple[Probation | None, ProbationState | None]:
        over = newest >= watched.ends_at
        done = self._compared_until
        fresh = self._of != watched.id or done is None
        if not fresh and done is not None and not over:
            if (newest - done).total_seconds() < BLOCK_SECONDS:
                return watched, None
        verdict = self.verdict = self._compare(watched, min(newest, watched.ends_at))
        if verdict.worse:
            return None, self._roll_back(watched, verdict)
        # Nobody may have predicted meanwhile: as long again, and no longer.
        extended = watched.ends_at + timedelta(seconds=self._seconds)
        if over and (verdict.known or newest >= extended):
            self._tag(watched.version, "passed")
            self._decide(watched, "passed", verdict.summary, verdict.to_dict())
            return None, "passed"
        return watched, None

    def _compare(self, watched: Probation, until: datetime) -> ProbationVerdict:
        if self._of != watched.id:
            self._of, self._blocks, self._compared_until = watched.id, {}, None
        since = watched.started_at
        if self._compared_until is not None:
            # What came late into the last blocks counts as well.
            late = self._compared_until - timedelta(seconds=6 * BLOCK_SECONDS)
            since = max(since, late)
        first = _block_start(since)
        while first < until:
            # Whole blocks each: the last slice of a block would hide the first.
            last = min(first + timedelta(seconds=SLICE_SECONDS), until)
            self._compare_slice(watched, max(first, watched.started_at), last)
            self._compared_until = first = last
            self._beat()
        self._compared_until = until
        ordered: list[tuple[Any, ...]] = [self._blocks[k] for k in sorted(self._blocks)]
        rows, ours, theirs = (
            np.array([block[at] for block in ordered]) for at in range(3)
        )
        return compare_blocks(
            rows.astype(np.int64), ours.astype(np.float64), theirs.astype(np.float64)
        )

    def _compare_slice(
        self, watched: Probation, since: datetime, until: datetime
    ) -> None:
        found = self._store.paired_error(
            self._spec,
            self._name,
            (CHAMPION, watched.version),
            (PREVIOUS, watched.former_version),
            since=since,
            until=until,
            block_seconds=BLOCK_SECONDS,
        )
        for row in found.itertuples(index=False):
            self._blocks[int(row.block)] = (
                int(row.rows),
                float(row.first),
                float(row.second),
            )

    def _roll_back(
        self, watched: Probation, verdict: ProbationVerdict
    ) -> ProbationState | None:
        reason = f"probation: {verdict.summary}"
        try:
            move_aliases(
                self._registry,
                self._store,
                self._name,
                Move.rollback(reason=reason),
                expected_champion=watched.version,
            )
        except (CheckFailed, UsageError) as error:
            # Somebody else moved the aliases: the next look says what became of it.
            log.warning("rollback_void", model=self._name, error=str(error))
            return None
        self._tag(watched.version, "rolled_back")
        self._on_rollback(reason, verdict.to_dict())
        self._decide(watched, "rolled_back", reason, verdict.to_dict())
        return "rolled_back"

    def _tag(self, number: int, value: str) -> None:
        version = self._registry.version(self._name, number)
        if version.tags.get(PROBATION) != value:
            self._registry.set_tag(self._name, number, PROBATION, value)

    def _decide(
        self,
        watched: Probation,
        state: ProbationState,
        reason: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        self._store.probations.decide(
            watched, state, {"reason": reason, **(detail or {})}
        )
        log.info(
            "probation_ended",
            model=self._name,
            version=watched.version,
            state=state,
            reason=reason,
        )


def _block_start(moment: datetime) -> datetime:
    seconds = moment.timestamp()
    return datetime.fromtimestamp(seconds - seconds % BLOCK_SECONDS, UTC)
