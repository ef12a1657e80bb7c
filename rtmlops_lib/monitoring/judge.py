"""Windows of a stream against its reference, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring._learn import DEVIATION, grid_of, moments
from rtmlops_lib.monitoring.calibration import Calibration
from rtmlops_lib.monitoring.effective import effective_rows
from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.feature_reference import FeatureReference
from rtmlops_lib.monitoring.histogram import bin_shares
from rtmlops_lib.monitoring.measures._shares import category_counts, with_unseen
from rtmlops_lib.monitoring.measures.chi_squared import homogeneity
from rtmlops_lib.monitoring.measures.kolmogorov_smirnov import (
    gap_probability,
    largest_gap,
)
from rtmlops_lib.monitoring.measures.population_stability import PopulationStability
from rtmlops_lib.monitoring.measures.wasserstein import quantile_distance
from rtmlops_lib.monitoring.memory import Memory
from rtmlops_lib.monitoring.table import Table
from rtmlops_lib.monitoring.verdict import DriftVerdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DriftJudge"]

Array = NDArray[np.float64]


class DriftJudge:
    """Judges windows of inputs, in the order of time.

    One window over a threshold is no drift: three of five are. What is remembered
    between windows is ``memory``; keep its ``to_dict()`` to go on after a restart.
    One thread at a time.

    Parameters
    ----------
    calibration : Calibration
    memory : Memory, optional
        Of an earlier judge.

    Notes
    -----
    Taught in chapter 09.

    Examples
    --------
    >>> import pandas as pd
    >>> x = np.random.default_rng(1).normal(size=20_000)
    >>> frame = pd.DataFrame({"load": x})
    >>> calibration = Calibration.of_frame(frame[:10_000], window=200)
    >>> judge = DriftJudge(calibration)
    >>> [judge.judge(frame[at : at + 200]).state for at in range(10_000, 11_000, 200)]
    ['unknown', 'unknown', 'stable', 'stable', 'stable']
    >>> frame += 0.5
    >>> [judge.judge(frame[at : at + 200]).state for at in range(11_000, 11_800, 200)]
    ['warning', 'warning', 'drift', 'drift']
    """

    def __init__(self, calibration: Calibration, memory: Memory | None = None) -> None:
        self.calibration = calibration
        self.memory = Memory() if memory is None else memory

    def judge(
        self,
        window: pd.DataFrame,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> DriftVerdict:
        """Judge the next window.

        Parameters
        ----------
        window : DataFrame
            Its rows, in any order, as long as the calibration's chunks.
        start, end : datetime, optional
            What the window was asked for; by default its first and last row.
        """
        names = [f.name for f in self.calibration.features if not _of_series(f)]
        if not len(window):
            return self._unjudged("the window has no rows", start, end, 0)
        table = Table.of_frame(
            window,
            time_column=self.calibration.time_column,
            series_column=self.calibration.series_column,
            features=names,
        )
        return self.judge_table(table, start=start, end=end)

    def judge_table(
        self,
        table: Table,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        first_row: int = 0,
    ) -> DriftVerdict:
        """As ``judge``, of rows that were read already."""
        calibration = self.calibration
        if table.clock != calibration.clock:
            has = ("no clock", "a clock")
            raise UsageError(
                f"the window has {has[table.clock]}, the reference has "
                f"{has[calibration.clock]}",
                remedy="name the column of times for both",
            )
        table = table.thinned(calibration.step)
        least = calibration.settings.min_window_share * calibration.chunk_rows
        place = _place(table, start, end, first_row)
        if len(table) < least:
            reason = (
                f"the window holds {len(table):,} rows, about "
                f"{calibration.chunk_rows:,.0f} are usual"
            )
            if table.step > 1.5 * calibration.step:
                steps = (table.step / 1e6, calibration.step / 1e6)
                reason += " (it has one in {:g} s, the reference in {:g} s)".format(
                    *steps
                )
            return self._unjudged(reason, *place, len(table))
        series = table.codes(calibration.series)
        # A step longer than the reference's may be: then each row counts whole.
        step = max(table.step, calibration.step)
        instants = table.instants
        rows = tuple(
            self._evidence(f, table, series, instants, step)
            for f in calibration.features
        )
        verdict = DriftVerdict.of_window(
            "input",
            rows,
            self.memory,
            calibration.settings,
            start=place[0],
            end=place[1],
            window_rows=len(table),
            reference_id=calibration.reference_id,
            notes=calibration.notes,
        )
        self.memory = verdict.after
        return verdict

    def _unjudged(
        self,
        reason: str,
        start: datetime | str | None,
        end: datetime | str | None,
        rows: int,
    ) -> DriftVerdict:
        return DriftVerdict.unjudged(
            "input",
            reason,
            self.memory,
            self.calibration.settings,
            start=_text(start),
            end=_text(end),
            window_rows=rows,
            reference_id=self.calibration.reference_id,
            notes=self.calibration.notes,
        )

    def _evidence(
        self,
        feature: FeatureReference,
        table: Table,
        series: NDArray[np.int64],
        instants: NDArray[np.int64] | None,
        step: int,
    ) -> Evidence:
        common: dict[str, Any] = {
            "name": feature.name,
            "kind": feature.kind,
            "unit": feature.unit,
            "threshold": feature.threshold,
            "reference_missing": feature.missing,
            "missing_threshold": feature.missing_threshold,
            "reference_effective_rows": feature.effective_rows,
            "tau": feature.tau,
            "chunks": feature.chunks,
        }
        if _of_series(feature):
            share = float(np.mean(series < 0))
            everything = moments(np.ones(len(table), np.bool_), instants)
            worth = effective_rows([everything], step, feature.tau)
            return Evidence(
                **common,
                effect=share,
                share=share,
                rows=len(table),
                effective_rows=worth,
            )
        column = table.columns[feature.name]
        if feature.kind == "number" and column.dtype == object:
            # Texts where numbers were: those that are none are no values.
            column = _numbers(column)
        known = _known(column)
        common |= {
            "missing": float(1 - known.mean()),
            "rows": int(known.sum()),
            "effective_rows": effective_rows(
                [moments(known, instants)], step, feature.tau
            ),
        }
        if not known.any():
            # All missing counts as evidence too: of absence.
            everything = moments(np.ones(len(table), np.bool_), instants)
            common["effective_rows"] = effective_rows([everything], step, feature.tau)
            return Evidence(**common, effect=None)
        if feature.kind == "number":
            if feature.profile is None:
                raise ValueError(f"feature {feature.name!r} has no profile")
            z = feature.profile.deviations(table.time, series, column)
            return Evidence(
                **common,
                **_of_number(feature, column, z, self.calibration.settings.clip),
                **_tested(feature, z, self.calibration.settings.clip, common),
            )
        if feature.kind == "category":
            return Evidence(**common, **_of_category(feature, column, common))
        other = _texts(column[known]) != _texts(np.array([feature.constant], object))
        share = float(np.mean(other))
        return Evidence(**common, effect=share, share=share)


def _of_series(feature: FeatureReference) -> bool:
    return feature.kind == "share" and feature.constant is None


def _known(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype == object:
        return np.array([value is not None for value in column.tolist()], np.bool_)
    return np.asarray(np.isfinite(column), np.bool_)


def _numbers(texts: NDArray[Any]) -> Array:
    import pandas as pd

    found = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    values = found.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _texts(values: NDArray[Any]) -> NDArray[np.object_]:
    # A constant may have been 5 in one file and 5.0 in the other.
    return np.array([_plain(value) for value in values.tolist()], object)


def _plain(value: Any) -> str:
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        return str(value)


def _of_number(
    feature: FeatureReference, x: Array, z: Array, clip: float
) -> dict[str, Any]:
    shown = np.clip(z, -clip, clip) if feature.axis == DEVIATION else x
    return {
        "reference_mean": feature.mean,
        "current_mean": float(np.nanmean(x)),
        "edges": feature.edges,
        "reference_shares": feature.shares,
        "current_shares": bin_shares(shown, feature.edges),
        "axis": feature.axis,
    }


def _tested(
    feature: FeatureReference, z: Array, clip: float, common: dict[str, Any]
) -> dict[str, Any]:
    reference, current = feature.quantiles, grid_of(z, clip)
    gap = largest_gap(np.array(reference), np.array(current))
    worth = max(common["effective_rows"], 1.0)
    return {
        "effect": quantile_distance(np.array(reference), np.array(current)),
        "gap": gap,
        "p_value": gap_probability(gap, feature.effective_rows, worth),
        "psi": PopulationStability().compare(reference, current).effect,
        "reference_quantiles": reference,
        "current_quantiles": current,
    }


def _of_category(
    feature: FeatureReference, column: NDArray[Any], common: dict[str, Any]
) -> dict[str, Any]:
    counts = category_counts(column, "current")
    _, reference, current = with_unseen(feature.counts or {}, counts)
    worth = (feature.effective_rows, max(common["effective_rows"], 1.0))
    tested = homogeneity(reference, current, worth)
    row = Evidence(
        feature.name,
        "category",
        "JS",
        None,
        None,
        reference_counts=feature.counts,
        current_counts=counts,
    )
    return {
        "effect": row.measured(),
        "gap": tested.effect,
        "p_value": tested.p_value,
        "reference_counts": feature.counts,
        "current_counts": counts,
    }


def _place(
    table: Table, start: datetime | None, end: datetime | None, first_row: int
) -> tuple[str, str]:
    if not table.clock:
        return f"row {first_row + 1}", f"row {first_row + len(table)}"
    first, last = (_moment(int(table.time[at])) for at in (0, -1))
    return _text(start or first), _text(end or last)


def _moment(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def _text(moment: datetime | str | None) -> str:
    if moment is None or isinstance(moment, str):
        return moment or ""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
