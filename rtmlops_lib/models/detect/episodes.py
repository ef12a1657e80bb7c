"""From scores of rows to anomalies: hysteresis, confirmation, merging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.detect import _snapshot
from rtmlops_lib.models.detect.episode import Episode
from rtmlops_lib.models.detect.scores import FLAG_THRESHOLD, Scores, severity_of

__all__ = ["EpisodeTracker"]

_KIND = "episode-tracker"


@dataclass(slots=True)
class _Run:
    """What has gathered on one series since its first conspicuous row."""

    episode: Episode
    confirmed: bool
    flagged: int
    quiet: int


class EpisodeTracker:
    """Opens, extends and closes the anomalies of many series.

    An episode begins at a flagged row and is told of when ``confirm`` rows were
    flagged, or one was certain. It goes on while scores stay above ``stay`` and
    bridges up to ``merge`` quiet rows; then it is closed. An unconfirmed one is
    dropped after ``patience`` quiet rows without a word. One episode is one alarm.

    Parameters
    ----------
    stay : float
        Lower threshold of the hysteresis.
    confirm : int
        Flagged rows that it takes.
    certain : float
        A score that needs no confirmation.
    patience, merge : int
        Quiet rows that an unconfirmed and a confirmed episode survive.

    Examples
    --------
    >>> scores = Scores(np.array([0.1, 0.6, 0.7, 0.4, 0.1]), np.zeros(5, int),
    ...     np.ones(5), np.zeros(5), np.ones(5), ("cpu_usage",))
    >>> tracker = EpisodeTracker(merge=1)
    >>> [episode] = tracker.update(np.full(5, "srv-01", object), np.arange(5), scores)
    >>> episode.started_at, episode.peak_at, episode.ended_at, episode.state
    (1, 2, 3, 'open')
    """

    def __init__(
        self,
        *,
        stay: float = 0.35,
        confirm: int = 2,
        certain: float = 0.6,
        patience: int = 3,
        merge: int = 60,
    ) -> None:
        if not 0 < stay <= FLAG_THRESHOLD <= certain or min(confirm, patience) < 1:
            raise UsageError(
                f"episodes need 0 < stay <= {FLAG_THRESHOLD} <= certain and at least "
                f"one row to confirm and to wait, got stay {stay}, certain {certain}, "
                f"confirm {confirm}, patience {patience}",
                remedy="leave them at their defaults",
            )
        self.stay = stay
        self.confirm = confirm
        self.certain = certain
        self.patience = patience
        self.merge = merge
        self._reset()

    def _reset(self) -> None:
        self._runs: dict[Any, _Run] = {}

    @property
    def open(self) -> tuple[Episode, ...]:
        """The confirmed episodes that have not ended."""
        return tuple(run.episode for run in self._runs.values() if run.confirmed)

    def update(
        self, series: NDArray[np.object_], time: NDArray[np.int64], scores: Scores
    ) -> list[Episode]:
        """Take in rows in their order; return each episode that changed, as it is now.

        Parameters
        ----------
        series : ndarray of object, shape (n,)
        time : ndarray of int64, shape (n,)
            Microseconds.
        scores : Scores
            Of these rows.
        """
        changed: dict[tuple[Any, int], Episode] = {}
        for row, name in self._rows_that_matter(series, scores.score):
            episode = self._take(name, int(time[row]), row, scores)
            if episode is not None:
                changed[name, episode.started_at] = episode
        return list(changed.values())

    def _rows_that_matter(
        self, series: NDArray[np.object_], score: NDArray[np.float64]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the rows of series that are, or become, conspicuous."""
        struck = set(series[score >= FLAG_THRESHOLD].tolist()) | set(self._runs)
        if struck:
            for row, name in enumerate(series.tolist()):
                if name in struck:
                    yield row, name

    def _take(self, name: Any, time: int, row: int, scores: Scores) -> Episode | None:
        score = float(scores.score[row])
        run = self._runs.get(name)
        if run is None:
            if score < FLAG_THRESHOLD:
                return None
            run = self._runs[name] = _Run(_opened(name, time, row, scores), False, 0, 0)
        elif score < self.stay:
            run.quiet += 1
            if run.quiet <= (self.merge if run.confirmed else self.patience):
                return None
            del self._runs[name]
            return replace(run.episode, state="closed") if run.confirmed else None
        else:
            run.episode = _extended(run.episode, time, row, scores)
        run.quiet = 0
        run.flagged += score >= FLAG_THRESHOLD
        if not run.confirmed:
            run.confirmed = run.flagged >= self.confirm or score >= self.certain
            run.episode = replace(run.episode, confirmed_at=time)
        return run.episode if run.confirmed else None

    def snapshot(self) -> bytes:
        """Return the whole state."""
        return _snapshot.pack(
            _KIND,
            {
                "settings": {
                    "stay": self.stay,
                    "confirm": self.confirm,
                    "certain": self.certain,
                    "patience": self.patience,
                    "merge": self.merge,
                },
                "runs": [asdict(run) for run in self._runs.values()],
            },
            {},
        )

    @classmethod
    def restore(cls, data: bytes) -> EpisodeTracker:
        """Return the tracker that ``snapshot`` described.

        Raises
        ------
        UsageError
            For bytes that are damaged, of another kind or of another version.
        """
        about, _ = _snapshot.unpack(_KIND, data)
        tracker = cls(**about["settings"])
        for stored in about["runs"]:
            told = {f.name: stored["episode"][f.name] for f in fields(Episode)}
            if isinstance(told["series"], list):
                told["series"] = tuple(told["series"])
            run = _Run(**{**stored, "episode": Episode(**told)})
            tracker._runs[run.episode.series] = run
        return tracker


def _opened(name: Any, time: int, row: int, scores: Scores) -> Episode:
    return Episode(
        series=name,
        started_at=time,
        ended_at=time,
        confirmed_at=time,
        state="open",
        rows=1,
        **_peak(time, row, scores),
    )


def _extended(episode: Episode, time: int, row: int, scores: Scores) -> Episode:
    peak = {}
    if float(scores.score[row]) > episode.peak_score:
        peak = _peak(time, row, scores)
    last = max(episode.ended_at, time)
    return replace(episode, ended_at=last, rows=episode.rows + 1, **peak)


def _peak(time: int, row: int, scores: Scores) -> dict[str, Any]:
    at = int(scores.metric[row])
    return {
        "peak_at": time,
        "peak_score": float(scores.score[row]),
        "severity": severity_of(scores.score[row : row + 1])[0],
        "metric": None if at < 0 else scores.metrics[at],
        "explanation": scores.explain(row),
    }
