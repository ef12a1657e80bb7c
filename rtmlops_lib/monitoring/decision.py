"""From evidence and memory to a state: the same numbers, the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rtmlops_lib.monitoring.adjust import holm
from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.memory import Memory, WindowMarks
from rtmlops_lib.monitoring.settings import DriftSettings

__all__ = ["Decision", "State", "adjusted", "decide"]

State = Literal["stable", "warning", "drift", "unknown"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a window.

    Parameters
    ----------
    state : {"stable", "warning", "drift", "unknown"}
    reason : str
    alert : bool
        Whether somebody should be told now: a feature has begun to drift, or drifts
        still when the cooldown of an earlier alert is over that did not name it.
    features : dict of str to str
        Each feature's own state.
    effective_rows : float
        The least that a judged feature rests on; else the most that one has.
    memory : Memory
        With this window.
    """

    state: State
    reason: str
    alert: bool
    features: dict[str, State]
    effective_rows: float
    memory: Memory


def adjusted(rows: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the rows with their p-values adjusted for their number (Holm)."""
    tested = [row for row in rows if row.p_value is not None]
    values = holm(np.array([row.p_value for row in tested], np.float64))
    by_name = {row.name: float(p) for row, p in zip(tested, values, strict=True)}
    return tuple(replace(row, adjusted_p=by_name.get(row.name)) for row in rows)


def decide(
    rows: Sequence[Evidence],
    before: Memory,
    settings: DriftSettings,
    start: str,
    end: str,
) -> Decision:
    """Judge a window in the light of those before.

    A feature begins to drift when it is over its threshold in ``needed`` of the
    newest ``windows``, and ceases when at most one of them comes near it. It is
    judged only if the reference and the remembered windows hold effective rows
    enough, and the reference chunks enough.
    """
    window = WindowMarks(
        start,
        end,
        {row.name: row.mark(settings.release) for row in rows},
        {row.name: row.effect for row in rows},
    )
    worth = {row.name: row.effective_rows for row in rows}
    memory = before.with_window(window, worth, settings.windows, settings.memory)
    states: dict[str, State] = {}
    drifting = []
    for row in rows:
        marks = memory.marks(row.name, settings.windows)
        over, near = sum(m == 2 for m in marks), sum(m >= 1 for m in marks)
        if _lacks(row, memory, settings):
            states[row.name] = "unknown"
        elif over >= settings.needed or (row.name in before.drifting and near > 1):
            states[row.name] = "drift"
            drifting.append(row.name)
        elif marks[-1] == 2 or over > 1:
            states[row.name] = "warning"
        else:
            states[row.name] = "stable"
    judged = [row for row in rows if states[row.name] != "unknown"]
    held = [memory.effective_rows(row.name) for row in judged or rows]
    state = _worst(states)
    since = None if before.since_alert is None else before.since_alert + 1
    # A feature that drifts already must not hide another that begins to.
    told = tuple(name for name in before.told if name in drifting)
    ready = since is None or since > settings.cooldown
    alert = ready and len(told) < len(drifting)
    return Decision(
        state=state,
        reason=_reason(state, rows, states, memory, settings),
        alert=alert,
        features=states,
        effective_rows=(min if judged else max)(held, default=0.0),
        memory=replace(
            memory,
            drifting=tuple(drifting),
            since_alert=0 if alert else since,
            told=tuple(drifting) if alert else told,
        ),
    )


def _worst(states: dict[str, State]) -> State:
    found = set(states.values())
    order: tuple[State, ...] = ("drift", "warning", "stable")
    return next((state for state in order if state in found), "unknown")


def _lacks(row: Evidence, memory: Memory, settings: DriftSettings) -> str | None:
    """Return what a feature lacks to be judged."""
    need = settings.min_effective_rows
    if row.threshold is None:
        return (
            f"the reference holds {row.chunks} whole chunks of a window's length, "
            f"{settings.min_chunks} are needed"
        )
    if row.reference_effective_rows < need:
        return (
            f"the reference is worth {row.reference_effective_rows:,.0f} independent "
            f"rows, {need:,.0f} are needed"
        )
    held = memory.effective_rows(row.name)
    if held < need:
        full = memory.count >= settings.memory and memory.whole is None
        return (
            f"{memory.count} windows are worth {held:,.0f} independent rows, "
            f"{need:,.0f} are needed" + ("; longer windows hold more" if full else "")
        )
    return None


def _reason(
    state: State,
    rows: Sequence[Evidence],
    states: dict[str, State],
    memory: Memory,
    settings: DriftSettings,
) -> str:
    if state == "unknown":
        best = max(rows, key=lambda row: memory.effective_rows(row.name), default=None)
        lacks = best and _lacks(best, memory, settings)
        return lacks or "there is nothing to judge"
    if state == "stable":
        return _stable(rows, states, memory, settings)
    told = []
    for row in rows:
        if states[row.name] != state:
            continue
        over = sum(m == 2 for m in memory.marks(row.name, settings.windows))
        of = min(settings.windows, len(memory.windows))
        told.append(f"{row.name} {_size(row)} in {over} of {of} windows")
    return "; ".join(told)


def _stable(
    rows: Sequence[Evidence],
    states: dict[str, State],
    memory: Memory,
    settings: DriftSettings,
) -> str:
    open_ = [row for row in rows if states[row.name] == "unknown"]
    said = f"{len(rows) - len(open_)} of {len(rows)} features are where they were"
    if not open_:
        return said
    names = ", ".join(row.name for row in open_)
    return f"{said}; not judged: {names} ({_lacks(open_[0], memory, settings)})"


def _size(row: Evidence) -> str:
    if row.effect is None or row.threshold is None:
        return f"missing in {row.missing:.0%} of the rows, over the limit"
    size = f"{row.effect:.3g} {row.unit} (threshold {row.threshold:.3g})"
    more = abs(row.missing - row.reference_missing)
    if row.missing_threshold is not None and more > row.missing_threshold:
        return f"{size}, missing in {row.missing:.0%} of the rows, over the limit"
    return f"{size}, over it"
