"""Two files, or any two tables: has the second drifted from the first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring.calibration import Calibration
from rtmlops_lib.monitoring.decision import adjusted
from rtmlops_lib.monitoring.joint_reference import TOGETHER, JointReference
from rtmlops_lib.monitoring.judge import DriftJudge
from rtmlops_lib.monitoring.memory import Memory
from rtmlops_lib.monitoring.settings import DriftSettings
from rtmlops_lib.monitoring.table import Table
from rtmlops_lib.monitoring.verdict import DriftVerdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare_frames"]

_MICROS = 1_000_000
# Chunks that a reference is cut into where the current rows do not ask for shorter
# ones, and how many it is cut into at the most.
_CHUNKS, _MOST_CHUNKS = 30, 1_000
# More windows of the current rows than that are not judged.
_MOST_WINDOWS = 1_000
# Thresholds of numbers that one should know of, in standard deviations.
_COARSE = 0.5
# Windows whose numbers are judged together: a classifier is fitted for each.
_JOINT_WINDOWS = 40
# What 'rtmlops export' adds to an event: they change with each row.
_OURS = ("ingest_time", "kafka_partition", "kafka_offset", "attributes")
# Lengths that people know, in seconds.
_USUAL = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400, 172_800, 604_800),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing two tables.

    Parameters
    ----------
    verdict : DriftVerdict
        Of the window with the gravest state; of several, that with the largest effect
        in thresholds, and the first of equals.
    verdicts : tuple of DriftVerdict
        Of all windows of the current rows.
    calibration : Calibration
    rows, current_rows : int
    notes : tuple of str
        How the files were read, and what in them was not compared.
    """

    verdict: DriftVerdict
    verdicts: tuple[DriftVerdict, ...]
    calibration: Calibration
    rows: int
    current_rows: int
    notes: tuple[str, ...]

    def over(self, feature: str) -> int:
        """Return in how many windows a feature was over its threshold."""
        marks = (v.after.windows[-1].marks for v in self.verdicts if v.features)
        return sum(each.get(feature) == 2 for each in marks)

    @property
    def judged(self) -> int:
        """How many windows were whole enough to be judged."""
        return sum(bool(verdict.features) for verdict in self.verdicts)


def compare_frames(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    time_column: str | None = None,
    series_column: str | None = None,
    reference_id: str = "reference",
    settings: DriftSettings | None = None,
) -> Comparison:
    """Judge the current rows, cut into windows, against a reference.

    The windows are a fifth of the current rows' length; shorter where the reference
    would otherwise hold fewer than thirty of them. Without a time column, the order
    of the rows is taken as the order of time.

    Raises
    ------
    UsageError
        For tables that cannot be read, or have no column in common.
    """
    settings = DriftSettings() if settings is None else settings
    first = _read(reference, "reference", time_column, series_column)
    second = _read(current, "current", time_column, series_column)
    shared: list[str] = []
    if first.clock and second.clock:
        # What is in both would be compared with itself.
        rest, shared = _without(reference, current)
        if shared:
            first = _read(rest, "reference", time_column, series_column)
    notes = [f"{note}" for note in dict.fromkeys((*first.notes, *second.notes))]
    if first.clock != second.clock:
        raise UsageError(
            "one file has a time column, the other has none",
            remedy="name it with --time-column, by the same name in both files",
        )
    notes += shared + _one_sided(first, second)
    both = [name for name in first.columns if name in second.columns]
    ours = [name for name in both if name in _OURS]
    if ours:
        notes.append(f"{', '.join(ours)}: how rows were stored, not compared")
    both = [name for name in both if name not in _OURS]
    if not both:
        raise UsageError(
            f"the files have no column in common: {_names(first)} and {_names(second)}",
            remedy="give files of the same stream",
        )
    first = replace(first, columns={name: first.columns[name] for name in both})
    second = replace(second, columns={name: second.columns[name] for name in both})
    if series_column is None:
        notes += _hint(first)
    window = _window(first, second)
    step = max(first.step, second.step)
    calibration = Calibration.of_table(
        first,
        window=timedelta(microseconds=window) if first.clock else window,
        time_column=time_column,
        series_column=series_column,
        step=timedelta(microseconds=step) if first.clock else None,
        reference_id=reference_id,
        settings=settings,
    )
    notes += [f"{name} is not compared: {why}" for name, why in _skips(calibration)]
    notes += [note for note in calibration.notes if note not in notes]
    notes += _coarse(calibration)
    judge, pieces = DriftJudge(calibration), _pieces(second, window)
    if len(pieces) > _MOST_WINDOWS:
        notes.append(
            f"the current rows are {len(pieces):,} windows: the newest "
            f"{_MOST_WINDOWS:,} are judged"
        )
        pieces = pieces[-_MOST_WINDOWS:]
    verdicts = [judge.judge_table(piece, first_row=at) for at, piece in pieces]
    joint = JointReference.learn(first, calibration)
    if joint is not None:
        notes += _together(joint, [piece for _, piece in pieces], verdicts)
    verdicts = _in_hindsight(verdicts)
    return Comparison(
        verdict=max(verdicts, key=_severity),
        verdicts=tuple(verdicts),
        calibration=calibration,
        rows=len(first),
        current_rows=len(second),
        notes=tuple(notes),
    )


def _read(
    frame: pd.DataFrame, which: str, time_column: str | None, series: str | None
) -> Table:
    try:
        return Table.of_frame(frame, time_column=time_column, series_column=series)
    except UsageError as error:
        message = f"the {which}: {error.message}"
        raise UsageError(message, remedy=error.remedy) from error


def _without(
    reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """Return the reference without the rows that the current ones hold as well."""
    import pandas as pd

    both = [name for name in reference.columns if name in current.columns]
    try:
        keys, others = (
            pd.util.hash_pandas_object(frame[both], index=False)
            for frame in (reference, current)
        )
    except TypeError:  # lists and the like have no hash
        return reference, []
    common = np.asarray(keys.isin(others), np.bool_)
    if not common.any():
        return reference, []
    if common.all():
        return reference, [
            "every row of the reference is among the current ones: what both hold "
            "cannot differ"
        ]
    return reference.loc[~common], [
        f"{int(common.sum()):,} rows of the reference are among the current ones: "
        "left out of it"
    ]


def _names(table: Table) -> str:
    return ", ".join(table.columns) or "none"


def _one_sided(first: Table, second: Table) -> list[str]:
    sides = (("reference", first, second), ("current file", second, first))
    return [
        f"{name} is only in the {which}: not compared"
        for which, here, there in sides
        for name in here.columns
        if name not in there.columns
    ]


def _skips(calibration: Calibration) -> list[tuple[str, str]]:
    return sorted(calibration.skipped.items())


def _coarse(calibration: Calibration) -> list[str]:
    wide = [
        f"{f.name} {f.threshold:.2g}"
        for f in calibration.features
        if f.kind == "number" and (f.threshold or 0.0) > _COARSE
    ]
    if not wide:
        return []
    shown = ", ".join(wide[:5]) + (" …" if len(wide) > 5 else "")
    return [
        f"smaller changes than these would not be seen, in sd: {shown}; a longer "
        "reference or fewer columns lower them"
    ]


def _hint(table: Table) -> list[str]:
    if not table.clock or len(np.unique(table.time)) > 0.7 * len(table):
        return []
    return [
        "many rows share their time: if they are of several series, --series-column "
        "names the column that tells them apart"
    ]


def _window(first: Table, second: Table) -> int:
    if not first.clock:
        return max(1, min(len(second) // 5, len(first) // _CHUNKS))
    spans = [t.span + t.step for t in (first, second)]
    wanted = min(spans[1] / 5, spans[0] / _CHUNKS)
    wanted = max(wanted, spans[0] / _MOST_CHUNKS, first.step, second.step)
    usual = [s for s in _USUAL if s * _MICROS <= wanted]
    return usual[-1] * _MICROS if usual else max(1, int(wanted))


def _pieces(table: Table, window: int) -> list[tuple[int, Table]]:
    """Return the windows, each with its first row's place."""
    # From the end backwards: what is cut off is the oldest.
    last = int(table.time[-1])
    ago = (last - table.time) // window if table.clock else None
    if ago is None:
        ago = (len(table) - 1 - np.arange(len(table))) // window
    pieces: list[tuple[int, Table]] = []
    for number in np.unique(ago)[::-1].tolist():
        rows = np.flatnonzero(ago == number)
        if not table.clock and len(rows) < window and not pieces and number:
            continue
        pieces.append((int(rows[0]), table.take(rows)))
    return pieces


def _together(
    joint: JointReference, pieces: list[Table], verdicts: list[DriftVerdict]
) -> list[str]:
    """Add what the numbers say together to the newest verdicts; return notes."""
    judged = [at for at, verdict in enumerate(verdicts) if verdict.features]
    notes, worst = [], (0.0, -1)
    if len(judged) > _JOINT_WINDOWS:
        notes.append(
            f"{TOGETHER}: judged in the newest {_JOINT_WINDOWS} of {len(judged)} "
            "windows"
        )
    for at in judged[-_JOINT_WINDOWS:]:
        row = joint.judge(pieces[at], verdicts[at].features)
        if row is None:
            continue
        rows = adjusted((*verdicts[at].features, row))
        verdicts[at] = replace(verdicts[at], features=rows)
        if row.effect is not None and row.threshold:
            worst = max(worst, (row.effect / row.threshold, at))
    if worst[0] > 1:
        one, other, before, now = joint.pair(pieces[worst[1]])
        notes.append(
            f"{one} and {other} go together differently: rank correlation "
            f"{before:.2f} in the reference, {now:.2f} in a window"
        )
    return notes


def _in_hindsight(verdicts: list[DriftVerdict]) -> list[DriftVerdict]:
    """Judge again: of a file all rows are known, and all of them are evidence."""
    whole: dict[str, float] = {}
    for verdict in verdicts:
        for row in verdict.features:
            whole[row.name] = whole.get(row.name, 0.0) + row.effective_rows
    memory, again = Memory(whole=whole), []
    for verdict in verdicts:
        if verdict.features:
            verdict = verdict.with_memory(memory)
            memory = verdict.after
        again.append(verdict)
    return again


def _severity(verdict: DriftVerdict) -> tuple[int, float]:
    order = ("unknown", "stable", "warning", "drift")
    worst = max(
        (
            row.effect / row.threshold
            for row in verdict.features
            if row.effect is not None and row.threshold
        ),
        default=0.0,
    )
    return order.index(verdict.state), worst
