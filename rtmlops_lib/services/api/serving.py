"""``/models``: what is registered, who serves, and changing that."""

from __future__ import annotations

import json
import math
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.aliases import CHALLENGER, CHAMPION, PREVIOUS
from rtmlops_lib.models.gate import GateReport
from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.services.api.context import ApiContext, Context
from rtmlops_lib.services.api.problems import NotFound, Refused, answers, problem
from rtmlops_lib.services.api.schemas import (
    EventSeen,
    ModelList,
    ModelSeen,
    Moved,
    PromoteRequest,
    RollbackRequest,
    VersionSeen,
)
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.factory import open_store

__all__ = ["models_of", "roll_back_model", "router"]

router = APIRouter(tags=["models"])
ModelName = Annotated[str, Path(max_length=200)]


@router.get("/models", response_model=ModelList, responses=answers())
async def models(
    context: Context, versions: Annotated[int, Query(ge=0, le=200)] = 20
) -> ModelList:
    """Return every model that the streams can have, with its newest versions."""
    return ModelList(models=await models_of(context, versions))


@router.post(
    "/models/{name}/promote", response_model=Moved, responses=answers(404, 409)
)
async def promote(
    context: Context, name: ModelName, wanted: PromoteRequest
) -> Moved | JSONResponse:
    """Run the gate on stored rows; if it passes, make a version champion.

    Takes as long as reading and scoring the rows since its training began. Where the
    gate refuses, the answer is 409 and its checks are the fields.
    """
    model = _known(context, name)

    def move() -> tuple[GateReport | None, list[ModelEvent]]:
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
            )

    gate, events = await context.movers.run(move)
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
        promoted=wanted.to == "champion",
        gate=None if gate is None else gate.to_dict(),
        events=_seen(events),
    )


@router.post(
    "/models/{name}/rollback", response_model=Moved, responses=answers(404, 409)
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

    def move() -> list[ModelEvent]:
        from rtmlops_lib.models.promotion import roll_back

        with closing(open_store(context.settings)) as store:
            return roll_back(context.registry, store, name, reason=reason)

    try:
        return await context.movers.run(move)
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
