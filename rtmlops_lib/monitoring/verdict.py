"""A verdict that carries all that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring.decision import Decision, State, adjusted, decide
from rtmlops_lib.monitoring.evidence import Evidence
from rtmlops_lib.monitoring.memory import Memory
from rtmlops_lib.monitoring.settings import DriftSettings

__all__ = ["DriftVerdict"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DriftVerdict:
    """What a judge said of one window, and everything it knew.

    Parameters
    ----------
    kind : {"input", "error"}
        Whether inputs were compared, or a model's errors.
    state : {"stable", "warning", "drift", "unknown"}
    reason : str
        In a sentence.
    alert : bool
        Whether somebody should be told now.
    start, end : str
        The window: ISO 8601, or row numbers where there is no clock.
    rows : int
        Rows of the window, after thinning to the reference's step.
    effective_rows : float
        Independent rows that the verdict rests on.
    features : tuple of Evidence
    feature_states : dict of str to str
    before, after : Memory
        Without and with this window.
    settings : DriftSettings
    reference_id : str
    change_point : str, optional
        When a model's error is estimated to have begun to grow.
    notes : tuple of str
    details : dict
        Further inputs, such as the errors behind a change point.

    Notes
    -----
    Taught in chapter 09.
    """

    kind: str
    state: State
    reason: str
    alert: bool
    start: str
    end: str
    rows: int
    effective_rows: float
    features: tuple[Evidence, ...]
    feature_states: dict[str, State]
    before: Memory
    after: Memory
    settings: DriftSettings
    reference_id: str
    change_point: str | None = None
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_window(
        cls,
        kind: str,
        rows: tuple[Evidence, ...],
        before: Memory,
        settings: DriftSettings,
        *,
        start: str,
        end: str,
        window_rows: int,
        reference_id: str,
        notes: tuple[str, ...] = (),
    ) -> DriftVerdict:
        """Decide on a window's evidence."""
        rows = adjusted(rows)
        decision = decide(rows, before, settings, start, end)
        return cls(
            kind=kind,
            start=start,
            end=end,
            rows=window_rows,
            features=rows,
            before=before,
            settings=settings,
            reference_id=reference_id,
            notes=notes,
            **_of_decision(decision),
        )

    @classmethod
    def unjudged(
        cls,
        kind: str,
        reason: str,
        memory: Memory,
        settings: DriftSettings,
        *,
        start: str,
        end: str,
        window_rows: int,
        reference_id: str,
        notes: tuple[str, ...] = (),
    ) -> DriftVerdict:
        """Say why a window cannot be judged; it is not remembered."""
        return cls(
            kind=kind,
            state="unknown",
            reason=reason,
            alert=False,
            start=start,
            end=end,
            rows=window_rows,
            effective_rows=0.0,
            features=(),
            feature_states={},
            before=memory,
            after=memory,
            settings=settings,
            reference_id=reference_id,
            notes=notes,
        )

    def replay(self) -> DriftVerdict:
        """Judge again, from what is kept here only: effects, p-values, state."""
        if not self.features:
            return self
        rows = adjusted([replace(row, effect=row.measured()) for row in self.features])
        return replace(self, features=rows).with_memory(self.before)

    def with_memory(self, before: Memory) -> DriftVerdict:
        """Judge the same window in the light of another past."""
        found = decide(self.features, before, self.settings, self.start, self.end)
        return replace(self, before=before, **_of_decision(found))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {
            "format": _FORMAT,
            **plain,
            "features": [row.to_dict() for row in self.features],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "settings": self.settings.model_dump(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> DriftVerdict:
        """Return what ``to_dict`` was made of, also after a trip through JSON.

        What a monitor's report holds beside it is left out.

        Raises
        ------
        UsageError
            For a report of another format.
        """
        if plain.get("format") != _FORMAT:
            raise UsageError(
                f"the report is not of format {_FORMAT}",
                remedy="read it with the release that wrote it",
            )
        given = {name: plain[name] for name in cls.__slots__ if name in plain}
        given["features"] = tuple(map(Evidence.from_dict, given["features"]))
        given["before"] = Memory.from_dict(given["before"])
        given["after"] = Memory.from_dict(given["after"])
        given["settings"] = DriftSettings(**given["settings"])
        given["notes"] = tuple(given["notes"])
        return cls(**given)


def _of_decision(decision: Decision) -> dict[str, Any]:
    return {
        "state": decision.state,
        "reason": decision.reason,
        "alert": decision.alert,
        "effective_rows": decision.effective_rows,
        "feature_states": decision.features,
        "after": decision.memory,
    }
