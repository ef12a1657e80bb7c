"""``/models``: what is registered, who serves, and changing that."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.aliases import CHALLENGER, CHAMPION, PREVIOUS
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.services.api.context import MOVE_SECONDS, ApiContext, Context
from rtmlops_lib.services.api.problems import (
    NotFound,
    Refused,
    TooLate,
    answers,
    problem,
)
from rtmlops_lib.services.api.schemas import (
    EventSeen,
    ModelList,
    ModelSeen,
    Moved,
    PromoteRequest,
    RollbackRequest,
    VersionSeen,
)
from rtmlops_lib.services.api.undertaking import GivenUp, Undertaking
from rtmlops_lib.services.api.workers import NoAnswer, Workers
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.factory import open_store

__all__ = ["models_of", "roll_back_model", "router"]

log = get_logger(__name__)
router = APIRouter(tags=["models"])
ResultT = TypeVar("ResultT")
ModelName = Annotated[str, Path(max_length=200)]


@router.get("/models", response_model=ModelList, responses=answers())
async def models(
    context: Context, versions: Annotated[int, Query(ge=0, le=200)] = 20
) -> ModelList:
    """Return every model that the streams can have, with its newest versions."""
    return ModelList(models=await models_of(context, versions))


@router.post(
    "/models/{name}/promote", response_model=Moved, responses=answers(404, 409, 504)
)
async def promote(
    context: Context, name: ModelName, wanted: PromoteRequest
) -> Moved | JSONResponse:
    """Run the gate on stored rows; if it passes, make a version champion.

    Takes as long as reading and scoring the rows since its training began, but not
    longer than `RTMLOPS_API_GATE_SECONDS`: then it is given up, nothing is moved, and
    the answer is 504. Where the gate refuses, the answer is 409 and its checks are the
    fields.
    """
    model = _known(context, name)

    def move(one: Undertaking) -> tuple[GateReport | None, list[ModelEvent]]:
        from rtmlops_lib.models.promotion import promote_version

        try:
            context.registry.version(name, wanted.version)
        except UsageError as error:
            raise NotFound(
                f"{name} has no version {wanted.version}", remedy="see /models"
            ) from error
        # A store of its own: the model's lock is held on its connection.
        with closing(open_store(context.settings)) as store:
            return promote_version(
                context.registry,
                store,
                model,
                wanted.version,
                to=wanted.to,
                force=wanted.force,
                reason=wanted.reason,
                on_step=one.check,
                before_move=one.begin,
            )

    if wanted.force or wanted.to == "challenger":
        gate, events = await _undertake(context.movers, move, MOVE_SECONDS)
    else:
        limit = context.settings.api_gate_seconds
        gate, events = await _undertake(
            context.gates,
            move,
            limit,
            remedy="run 'rtmlops models promote', which has no limit, or raise "
            "RTMLOPS_API_GATE_SECONDS",
        )
    if gate is not None and not gate.passed:
        return problem(
            409,
            gate.summary,
            "train a better one, or give force and a reason",
            fields=[
                f"{'passed' if check.passed else 'failed'}: {check.name}: "
                f"{check.detail}"
                for check in gate.checks
            ],
        )
    return Moved(
        model=name,
        promoted=wanted.to == "champion" and _serves(events, wanted.version),
        gate=None if gate is None else gate.to_dict(),
        events=_seen(events),
    )


@router.post(
    "/models/{name}/rollback", response_model=Moved, responses=answers(404, 409, 504)
)
async def rollback(context: Context, name: ModelName, wanted: RollbackRequest) -> Moved:
    """Make the previous version champion again; the present one never comes back."""
    events = await roll_back_model(context, name, wanted.reason)
    return Moved(model=name, promoted=False, events=_seen(events))


async def roll_back_model(
    context: ApiContext, name: str, reason: str
) -> list[ModelEvent]:
    """Roll a model back; what the route and the page's button do."""
    _known(context, name)

    def move(one: Undertaking) -> list[ModelEvent]:
        from rtmlops_lib.models.promotion import roll_back

        with closing(open_store(context.settings)) as store:
            one.begin()
            return roll_back(context.registry, store, name, reason=reason)

    try:
        return await _undertake(context.movers, move, MOVE_SECONDS)
    except UsageError as error:
        raise Refused(error.message, remedy=error.remedy) from error


async def models_of(context: ApiContext, versions: int) -> list[ModelSeen]:
    """Ask the registry for all models."""

    def read() -> list[ModelSeen]:
        return [
            _model(context.registry, model, versions)
            for model in context.models.values()
        ]

    return await context.mlflow.run(read)


async def _undertake(
    workers: Workers,
    work: Callable[[Undertaking], ResultT],
    seconds: float,
    *,
    remedy: str = "try again; /readyz says how things stand",
) -> ResultT:
    """Return what ``work`` returns; give it up where it has not begun to move in time.

    Raises
    ------
    TooLate
        Says whether anything is moved; what has begun gets ``MOVE_SECONDS`` more.
    """
    one = Undertaking()
    asked = asyncio.create_task(
        workers.run(partial(_noting, work, one), seconds=seconds + MOVE_SECONDS)
    )
    try:
        done, _ = await asyncio.wait({asked}, timeout=seconds)
        if not done and one.give_up():
            raise TooLate(
                f"{workers.name} did not come to an end within {seconds:g} s; nothing "
                "was moved, and nothing will be",
                remedy=remedy,
            )
        return await asked
    except NoAnswer as error:
        raise TooLate(
            f"the move began and did not end within {seconds + MOVE_SECONDS:g} s: it "
            "is carried out wholly, by the next move at the latest, or not at all",
            remedy="see /models for who serves, and the log for what went wrong",
        ) from error
    finally:
        asked.cancel()


def _noting(work: Callable[[Undertaking], ResultT], one: Undertaking) -> ResultT:
    try:
        one.check()
        return work(one)
    except GivenUp:
        log.warning("move_given_up", reason="nobody waits for it any more")
        raise


def _serves(events: list[ModelEvent], version: int) -> bool:
    """Return whether a version is champion after these; without any it was before."""
    made = [event.to_version for event in events if event.alias == CHAMPION]
    return not made or made[-1] == version


def _known(context: ApiContext, name: str) -> KnownModel:
    if name not in context.models:
        raise NotFound(
            f"there is no model {name!r}",
            remedy=f"one of {', '.join(context.models)}",
        )
    return context.models[name]


def _model(registry: ModelRegistry, model: KnownModel, limit: int) -> ModelSeen:
    aliases = registry.aliases(model.name)
    found = registry.versions(model.name) if limit else []
    return ModelSeen(
        name=model.name,
        stream=model.spec.name,
        kind=model.kind,
        champion=aliases.get(CHAMPION),
        challenger=aliases.get(CHALLENGER),
        previous=aliases.get(PREVIOUS),
        versions=[_version(version) for version in found[:limit]],
    )


def _version(version: ModelVersion) -> VersionSeen:
    tags = version.tags
    rows = tags.get("rows", "")
    return VersionSeen(
        version=version.version,
        aliases=list(version.aliases),
        made=datetime.fromtimestamp(version.created_ms / 1000, UTC),
        kind=tags.get("kind"),
        rows=int(rows) if rows.isdecimal() else None,
        metrics=_numbers(tags.get("metrics", "")),
        window_end=tags.get("window_end"),
        gate=_verdict(tags.get("gate", "")),
        rolled_back=version.rolled_back,
    )


def _numbers(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in _plain(text).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _verdict(text: str) -> str | None:
    """Say in a sentence what the gate's tag holds."""
    found = _plain(text)
    if "passed" not in found:
        return None
    against = str(found.get("against", ""))
    if found["passed"]:
        return f"passed against {against}"
    failed = [str(c.get("name")) for c in found.get("checks", []) if not c["passed"]]
    return f"refused against {against}: {', '.join(failed)}"


def _plain(text: str) -> dict[str, Any]:
    """Read a tag, which is cut where it is too long."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seen(events: list[ModelEvent]) -> list[EventSeen]:
    return [
        EventSeen(**{name: getattr(event, name) for name in EventSeen.model_fields})
        for event in events
    ]
