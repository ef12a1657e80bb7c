"""One version's judges, and what they remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rtmlops_lib.models.registry import ModelVersion
from rtmlops_lib.monitoring import (
    DriftJudge,
    DriftSettings,
    DriftVerdict,
    ErrorWatch,
    Memory,
)
from rtmlops_lib.services.drift_reference import DriftReference
from rtmlops_lib.services.event_windows import EventWindow

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEPT_REPORTS", "VersionWatch"]

# As many windows as an error watch looks for a change in.
KEPT_REPORTS = 24


class VersionWatch:
    """Judges windows against one version's own reference.

    Parameters
    ----------
    version : ModelVersion
    reference : DriftReference, optional
        Without one every window is unknown, and ``problem`` says why.
    problem : str, optional
    """

    def __init__(
        self,
        version: ModelVersion,
        reference: DriftReference | None,
        problem: str | None = None,
    ) -> None:
        self.version = version
        self.problem = problem
        self.last: dict[str, DriftVerdict] = {}
        # What no window of this version can be judged by, and what to do about it.
        self.notes = () if reference is None else _notes(version, reference)
        self._bins: list[Any] = []
        self._inputs = None if reference is None else DriftJudge(reference.inputs)
        self._errors = None if reference is None else ErrorWatch(reference.error)

    def restore(self, kind: str, reports: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what was reported of this version, newest report first."""
        # A version that served before, and again, is judged by its present time.
        mine = []
        for row in reports:
            if row["model_version"] != self.version.version:
                break
            mine.append(row["report"])
        if not mine or self._inputs is None or self._errors is None:
            return
        self.last[kind] = DriftVerdict.from_dict(mine[0])
        memory = self.last[kind].after
        if kind == "input":
            self._inputs.memory = memory
            return
        bins = [one for report in reversed(mine) for one in report.get("bins", [])]
        self._errors = ErrorWatch(
            self._errors.reference, {"memory": memory.to_dict(), "bins": bins}
        )

    def judge_inputs(self, rows: pd.DataFrame, window: EventWindow) -> DriftVerdict:
        """Judge a window's events."""
        if self._inputs is None:
            verdict = self._unjudged("input", self.problem or "no reference", window)
        else:
            verdict = self._inputs.judge(rows, start=window.start, end=window.end)
        self.last["input"] = verdict
        return verdict

    def judge_errors(
        self, time: Any, error: Any, series: Any, window: EventWindow, *, enough: bool
    ) -> DriftVerdict:
        """Judge a window's errors.

        Parameters
        ----------
        time, error, series : array_like, shape (n,)
        enough : bool
            Whether this version predicted enough of the window to be judged by it.
        """
        self._bins = []
        if self._errors is None:
            verdict = self._unjudged("error", self.problem or "no reference", window)
        elif not enough:
            verdict = self._unjudged(
                "error",
                f"v{self.version.version} predicted {len(error):,} of "
                f"{window.rows:,} events, too few to judge it",
                window,
            )
        else:
            verdict = self._errors.check(
                time, error, series=series, start=window.start, end=window.end
            )
            first = int(window.start.timestamp() * 1e6)
            bins = self._errors.to_dict()["bins"]
            self._bins = [one for one in bins if one[0] >= first]
            if verdict.state == "drift" and verdict.change_point is None:
                verdict = replace(verdict, change_point=_first_over(verdict))
        self.last["error"] = verdict
        return verdict

    def beside(self, kind: str) -> dict[str, Any]:
        """Return what a report holds beyond its verdict, for ``restore``."""
        return {"bins": self._bins} if kind == "error" else {}

    def _unjudged(self, kind: str, reason: str, window: EventWindow) -> DriftVerdict:
        memory = Memory() if self._errors is None else self._errors.memory
        return DriftVerdict.unjudged(
            kind,
            reason,
            memory,
            DriftSettings(),
            start=_iso(window.start),
            end=_iso(window.end),
            window_rows=window.rows,
            reference_id=str(self.version.version),
        )


def _notes(version: ModelVersion, reference: DriftReference) -> tuple[str, ...]:
    lacks = reference.error.lacks
    if lacks is None:
        return ()
    return (
        f"the live error of {version.name} v{version.version} is never judged, so "
        f"nothing is retrained after a change: {lacks}",
    )


def _first_over(verdict: DriftVerdict) -> str | None:
    """Return the start of the first of the newest windows that was over."""
    for window in verdict.after.windows[-verdict.settings.windows :]:
        if 2 in window.marks.values():
            return window.start
    return None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
