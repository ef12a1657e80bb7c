"""A verdict as a picture: how far over, and what the values look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.verdict import DriftVerdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure"]

# Okabe and Ito's: told apart by readers who see colours differently.
_REFERENCE, _CURRENT, _LIMIT = "#7b8794", "#0072b2", "#1f2933"
_OF_STATE = {
    "drift": "#d55e00",
    "warning": "#e69f00",
    "stable": "#009e73",
    "unknown": "#7b8794",
}
_MOST = 6
_MOST_CATEGORIES = 8


def figure(verdict: DriftVerdict, *, stacked: bool = False) -> Figure:
    """Draw each feature's effect against its threshold, and the values behind it.

    Left, every feature's effect in units of its threshold, with the windows before as
    small dots; right, histograms of reference and window for the six features that
    came nearest to it. A verdict on errors also shows the error over time and the
    change point. ``stacked`` draws one above the other, for a narrow page.
    """
    from matplotlib.figure import Figure

    rows = sorted(verdict.features, key=_size, reverse=True)
    shown = [row for row in rows if _has_picture(row)][:_MOST]
    timeline = bool(verdict.details.get("bins"))
    panels = len(shown) + timeline
    lines = max(1, -(-panels // 2))
    heights = (max(2.2, 0.42 * len(rows) + 1.4), max(0.1, 2.1 * lines + 0.6))
    size = (6.2, sum(heights)) if stacked else (10, max(2.8, *heights))
    result = Figure(figsize=size, layout="constrained")
    halves: Any = (
        result.subfigures(2, 1, height_ratios=heights)
        if stacked
        else result.subfigures(1, 2, width_ratios=(1, 1.25))
    )
    left, right = halves
    _effects(left.subplots(), rows, verdict)
    if panels:
        axes = np.atleast_1d(right.subplots(lines, 1 if panels == 1 else 2)).ravel()
        for place, row in zip(axes, shown, strict=False):
            _histogram(place, row)
        if timeline:
            _timeline(axes[len(shown)], verdict)
        for empty in axes[panels:]:
            empty.set_axis_off()
        label = "reference (grey), this window (blue)"
        right.suptitle(label, fontsize="medium")
    title = f"{verdict.state}: {verdict.start} to {verdict.end}"
    result.suptitle(title, x=0.01, ha="left", color=_OF_STATE[verdict.state])
    return result


def _size(row: Evidence) -> float:
    if row.effect is None or not row.threshold:
        return 0.0
    return row.effect / row.threshold


def _has_picture(row: Evidence) -> bool:
    return bool(row.current_shares) or bool(row.current_counts)


def _effects(axes: Any, rows: list[Evidence], verdict: DriftVerdict) -> None:
    if not rows:
        axes.text(0.5, 0.5, _wrapped(verdict.reason), ha="center", va="center")
        axes.set_axis_off()
        return
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        state = verdict.feature_states.get(row.name, "unknown")
        axes.barh(place, _size(row), height=0.55, color=_OF_STATE[state])
        for window in verdict.before.windows[-verdict.settings.windows + 1 :]:
            effect = window.effects.get(row.name)
            if effect is not None and row.threshold:
                axes.plot(
                    effect / row.threshold, place, "o", ms=3.5, color=_LIMIT, alpha=0.55
                )
        note = "" if row.effect is None else f" {row.effect:.2g} {row.unit}"
        axes.annotate(
            note,
            (_size(row), place),
            va="center",
            fontsize="small",
            xytext=(4, 0),
            textcoords="offset points",
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
        )
    axes.axvline(1, color=_LIMIT, linewidth=1.2, linestyle="--")
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_ylim(-0.7 - 0.5 * (len(rows) < 3), len(rows) - 0.3 + 0.5 * (len(rows) < 3))
    axes.set_xlim(0, max(1.35, 1.3 * max(_size(row) for row in rows)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("effect in thresholds (dots: the windows before)")


def _histogram(axes: Any, row: Evidence) -> None:
    if row.current_counts:
        _categories(axes, row)
    else:
        edges = np.array(row.edges)
        for shares, color, fill in (
            (row.reference_shares, _REFERENCE, True),
            (row.current_shares, _CURRENT, False),
        ):
            axes.stairs(
                100 * np.array(shares),
                edges,
                color=color,
                fill=fill,
                alpha=0.55 if fill else 1.0,
                linewidth=1.6,
            )
        some = np.array(row.reference_shares) + np.array(row.current_shares) > 0
        if some.any():
            first, last = np.flatnonzero(some)[[0, -1]]
            axes.set_xlim(edges[first], edges[last + 1])
        if row.axis != "value":
            axes.set_xlabel(row.axis, fontsize="small")
    axes.set_title(row.name, fontsize="medium")
    axes.set_ylabel("% of rows", fontsize="small")
    axes.tick_params(labelsize="small")


def _categories(axes: Any, row: Evidence) -> None:
    reference, current = row.reference_counts or {}, row.current_counts or {}
    totals = [max(1, sum(counts.values())) for counts in (reference, current)]
    names = sorted(
        {*reference, *current},
        key=lambda name: (
            -abs(reference.get(name, 0) / totals[0] - current.get(name, 0) / totals[1])
        ),
    )[:_MOST_CATEGORIES]
    places = np.arange(len(names))
    for counts, total, shift, color in (
        (reference, totals[0], -0.2, _REFERENCE),
        (current, totals[1], 0.2, _CURRENT),
    ):
        shares = [100 * counts.get(name, 0) / total for name in names]
        axes.bar(places + shift, shares, 0.4, color=color)
    axes.set_xticks(places, [name[:12] for name in names], rotation=30, ha="right")


def _timeline(axes: Any, verdict: DriftVerdict) -> None:
    import matplotlib.dates

    # matplotlib has no types for these two.
    dates: Any = matplotlib.dates

    bins = np.array(verdict.details["bins"], np.float64)
    time = bins[:, 0].astype("int64").astype("datetime64[us]")
    axes.plot(time, bins[:, 2] / bins[:, 1], color=_CURRENT, linewidth=1)
    reference = verdict.features[0].reference_mean if verdict.features else None
    if reference is not None:
        axes.axhline(reference, color=_REFERENCE, linewidth=1.2)
    if verdict.change_point is not None:
        moment = np.datetime64(verdict.change_point.removesuffix("Z"))
        axes.axvline(moment, color=_OF_STATE["drift"], linewidth=1.5, linestyle="--")
    locator = dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.set_title("error over time", fontsize="medium")
    axes.tick_params(labelsize="small")


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 40))
