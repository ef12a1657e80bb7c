"""What the control page shows, gathered from the database and the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.services.api.kept import Kept
from rtmlops_lib.services.api.schemas import ModelSeen
from rtmlops_lib.store import RetrainJob

if TYPE_CHECKING:
    from rtmlops_lib.services.api.context import ApiContext

__all__ = ["DriftSeen", "ErrorSeen", "Overview", "Seen"]

ResultT = TypeVar("ResultT")

# So far back live errors are shown, in windows of so much.
SPAN = timedelta(hours=2)
WINDOW_SECONDS = 300.0
ERROR_SECONDS = 5.0
# A page that is open asks every five seconds; errors change with each window only.
KEPT_SECONDS, ERRORS_KEPT_SECONDS = 2.0, 15.0
STATES, JOBS, ALERTS, MOVES = 24, 12, 50, 10
_ROLES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class ErrorSeen:
    """The live error of one role of a model.

    Parameters
    ----------
    role : str
    version : int
    rows : int
    mae, mape : float
        Over the whole span.
    windows : list of (datetime, float)
        The MAPE of each window.
    """

    role: str
    version: int
    rows: int
    mae: float
    mape: float
    windows: list[tuple[datetime, float]]


@dataclass(frozen=True)
class DriftSeen:
    """The newest verdict of one kind, and the states of those before, oldest first."""

    kind: str
    state: str
    window_end: datetime
    states: list[tuple[str, datetime]]


@dataclass
class Seen:
    """Everything on the page; ``problems`` say what could not be asked."""

    now: datetime
    models: list[ModelSeen] = field(default_factory=list)
    errors: dict[str, list[ErrorSeen]] = field(default_factory=dict)
    drift: dict[str, list[DriftSeen]] = field(default_factory=dict)
    jobs: list[RetrainJob] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Rows:
    jobs: list[RetrainJob]
    alerts: list[dict[str, Any]]
    drift: dict[str, list[DriftSeen]]
    moves: list[dict[str, Any]]


class Overview:
    """Gathers what the page shows; each part is kept for a moment.

    Parameters
    ----------
    context : ApiContext
    """

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._models = Kept(self._ask_models, seconds=KEPT_SECONDS)
        self._rows = Kept(self._ask_rows, seconds=KEPT_SECONDS)
        self._errors = Kept(self._ask_errors, seconds=ERRORS_KEPT_SECONDS)

    async def get(self) -> Seen:
        """Return what can be known now."""
        seen = Seen(now=datetime.now(UTC))
        models, rows, errors = await asyncio.gather(
            _tried(self._models.get(), seen),
            _tried(self._rows.get(), seen),
            _tried(self._errors.get(), seen),
        )
        # Without the registry there still are the models' names, and their buttons.
        seen.models = models or [
            ModelSeen(
                name=model.name,
                stream=model.spec.name,
                kind=model.kind,
                champion=None,
                challenger=None,
                previous=None,
                versions=[],
            )
            for model in self._context.models.values()
        ]
        seen.errors = errors or {}
        if rows is not None:
            seen.jobs, seen.alerts = rows.jobs, rows.alerts
            seen.drift, seen.moves = rows.drift, rows.moves
        return seen

    def forget(self) -> None:
        """Ask again next time: somebody pressed a button."""
        self._models.forget()
        self._rows.forget()

    async def _ask_models(self) -> list[ModelSeen]:
        from rtmlops_lib.services.api.serving import models_of

        return await models_of(self._context, 8)

    async def _ask_rows(self) -> _Rows:
        def read() -> _Rows:
            with self._context.stores.borrowed() as store:
                # First what gives up first: the place is another's then.
                jobs = store.retrain_jobs.newest(limit=JOBS)
                reports = store.drift_reports.list(limit=400)
                moves = store.model_events(limit=MOVES)
                return _Rows(
                    jobs=jobs,
                    alerts=store.alerts.records(open_only=True, limit=ALERTS),
                    drift=_drift(reports),
                    moves=moves.astype(object)
                    .where(moves.notna(), None)
                    .to_dict("records"),
                )

        return await self._context.database.run(read)

    async def _ask_errors(self) -> dict[str, list[ErrorSeen]]:
        since = datetime.now(UTC) - SPAN

        def read(model: KnownModel) -> list[ErrorSeen]:
            with self._context.stores.borrowed() as store:
                frame = store.live_error(
                    model.spec,
                    model.name,
                    since=since,
                    window_seconds=WINDOW_SECONDS,
                    seconds=ERROR_SECONDS,
                )
            return _errors(frame)

        found = {}
        for model in self._context.models.values():
            if model.kind == "power":
                found[model.name] = await self._context.database.run(
                    partial(read, model)
                )
        return found


async def _tried(asking: Awaitable[ResultT], seen: Seen) -> ResultT | None:
    try:
        return await asking
    except RtmlopsError as error:
        text = str(error)
        if text not in seen.problems:
            seen.problems.append(text)
        return None


def _errors(frame: pd.DataFrame) -> list[ErrorSeen]:
    found = []
    for (role, version), part in frame.groupby(["role", "model_version"], sort=False):
        rows = int(part["rows"].sum())
        share = part["rows"] / rows
        found.append(
            ErrorSeen(
                role=str(role),
                version=int(version),
                rows=rows,
                mae=float((part["mae"] * share).sum()),
                mape=float((part["mape"] * share).sum()),
                windows=[
                    (start.to_pydatetime(), float(mape))
                    for start, mape in zip(
                        part["window_start"], part["mape"], strict=True
                    )
                ],
            )
        )
    order = {role: place for place, role in enumerate(_ROLES)}
    return sorted(found, key=lambda e: (order.get(e.role, 9), -e.version))


def _drift(reports: pd.DataFrame) -> dict[str, list[DriftSeen]]:
    found: dict[str, list[DriftSeen]] = {}
    if reports.empty:
        return found
    for (name, kind), part in reports.groupby(["model_name", "kind"], sort=True):
        newest = part.head(STATES)
        states = [
            (str(state), end.to_pydatetime() if hasattr(end, "to_pydatetime") else end)
            for state, end in zip(newest["state"], newest["window_end"], strict=True)
        ]
        found.setdefault(str(name), []).append(
            DriftSeen(
                kind=str(kind),
                state=states[0][0],
                window_end=states[0][1],
                states=states[::-1],
            )
        )
    return found
