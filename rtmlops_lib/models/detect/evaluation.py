"""How well anomalies are found: per type, in events, never point-adjusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.label import Label
from rtmlops_lib.models.detect.type_result import TypeResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a detector did against the labels.

    Parameters
    ----------
    by_type : dict of str to TypeResult
    episodes : int
        How many were told of.
    false_alarms : tuple of Episode
        Those that touch no label of their server.
    server_days : float
        The time watched.
    """

    by_type: dict[str, TypeResult]
    episodes: int
    false_alarms: tuple[Episode, ...]
    server_days: float

    @property
    def precision(self) -> float:
        """Share of the episodes that touch a label; NaN without episodes."""
        if not self.episodes:
            return float("nan")
        return 1 - len(self.false_alarms) / self.episodes

    @property
    def false_alarms_per_server_day(self) -> float:
        """False alarms per server and day watched."""
        return len(self.false_alarms) / self.server_days

    def table(self) -> pd.DataFrame:
        """Return one row a type, indexed by its name."""
        import pandas as pd

        return pd.DataFrame(
            {
                kind: {
                    "events": result.events,
                    "found": result.found,
                    "recall": result.recall,
                    "median_delay": result.median_delay,
                    "average_precision": result.average_precision,
                }
                for kind, result in self.by_type.items()
            }
        ).T.astype({"events": int, "found": int})


def evaluate(
    labels: Sequence[Label],
    episodes: Iterable[Episode],
    *,
    step_us: int,
    server_days: float,
    since: int = 0,
    average_precision: Mapping[str, float] | None = None,
) -> Evaluation:
    """Hold episodes against labels.

    An episode is a false alarm when it overlaps no label of its server. A label is
    found when an episode of its server (of its service, if it has one) overlaps it
    and was told of before the label's end. An episode that was under way before the
    onset finds the label too, yet says nothing of the delay.

    Parameters
    ----------
    labels : sequence of Label
    episodes : iterable of Episode
        Of one stream or of several; their series is the server's name, or
        ``(service, server_id)``.
    step_us : int
        The sampling step, in which delays are counted.
    server_days : float
        The time watched after ``since``.
    since : int
        What began before (µs) is left out: the detector was still learning.
    average_precision : mapping of str to float, optional
        Of each type, see ``precision_by_type``.

    Examples
    --------
    >>> label = Label("srv-01", "cpu_spike", 100, 160)
    >>> result = evaluate([label], [], step_us=10, server_days=1.0)
    >>> result.by_type["cpu_spike"].recall, result.false_alarms_per_server_day
    (0.0, 0.0)
    """
    of_server: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        of_server[_place(episode)[1]].append(episode)
    labels_of_server: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        labels_of_server[label.server].append(label)

    counted = [e for e in _flat(of_server) if e.started_at >= since]
    false = tuple(
        episode
        for episode in counted
        if not any(
            _overlap(episode, label) for label in labels_of_server[_place(episode)[1]]
        )
    )
    delays: dict[str, list[int | None]] = defaultdict(list)
    missed: dict[str, int] = defaultdict(int)
    for label in labels:
        if label.started_at >= since:
            found, delay = _find(label, of_server[label.server], step_us)
            if found:
                delays[label.kind].append(delay)
            else:
                missed[label.kind] += 1
    return Evaluation(
        by_type={
            kind: TypeResult(
                events=len(delays[kind]) + missed[kind],
                found=len(delays[kind]),
                delays=tuple(d for d in delays[kind] if d is not None),
                average_precision=(average_precision or {}).get(kind, float("nan")),
            )
            for kind in sorted({*delays, *missed})
        },
        episodes=len(counted),
        false_alarms=false,
        server_days=server_days,
    )


def _find(
    label: Label, episodes: list[Episode], step_us: int
) -> tuple[bool, int | None]:
    own = [
        e
        for e in episodes
        if _overlap(e, label)
        and e.confirmed_at <= label.ended_at
        and label.service in (None, _place(e)[0])
    ]
    begun = [e for e in own if e.started_at >= label.started_at]
    if not begun:
        return bool(own), None
    told = min(e.confirmed_at for e in begun)
    return True, round((told - label.started_at) / step_us)


def _place(episode: Episode) -> tuple[str | None, str]:
    """Return service, if the series is of one, and server."""
    if isinstance(episode.series, tuple):
        return episode.series[0], episode.series[-1]
    return None, str(episode.series)


def _overlap(episode: Episode, label: Label) -> bool:
    return episode.started_at <= label.ended_at and episode.ended_at >= label.started_at


def _flat(groups: dict[str, list[Episode]]) -> list[Episode]:
    return [episode for group in groups.values() for episode in group]
