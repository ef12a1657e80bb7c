"""``/alerts``: what Grafana says, what is open, who has seen it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.services.api.context import ApiContext, Context
from rtmlops_lib.services.api.grafana import (
    GrafanaAlert,
    GrafanaNotification,
    storable,
)
from rtmlops_lib.services.api.problems import NotFound, answers
from rtmlops_lib.services.api.retraining import request_job
from rtmlops_lib.services.api.schemas import (
    AlertList,
    AlertSeen,
    GrafanaAnswer,
    JobSeen,
    RetrainSeen,
)
from rtmlops_lib.store import RetrainJob

__all__ = ["acknowledge", "alerts_of", "router"]

log = get_logger(__name__)
router = APIRouter(tags=["alerts"])
SOURCE = "grafana"
AlertId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.post("/alerts/grafana", response_model=GrafanaAnswer, responses=answers())
async def from_grafana(
    context: Context, notification: GrafanaNotification
) -> GrafanaAnswer:
    """Record every alert, close what is resolved, train where ``action=retrain``.

    The labels ``stream`` and ``kind`` (``power`` by default), or ``model``, say which
    model. It learns from what came after the change that the monitor found. A training
    that is under way, or one a moment ago, is no error: Grafana would send the
    notification again; nor is a champion on probation, or one rolled back a moment ago,
    which a training waits for.
    """
    # Of one alert that stands in it twice, the last counts.
    by_key = {alert.key: alert for alert in notification.alerts}
    firing = [alert for alert in by_key.values() if alert.status == "firing"]
    resolved = [alert.key for alert in by_key.values() if alert.status == "resolved"]

    def record() -> tuple[list[int], list[int]]:
        with context.stores.borrowed() as store:
            raised = store.alerts.report_all(
                [alert.to_alert() for alert in firing], source=SOURCE
            )
            closed = store.alerts.resolve_all(resolved, source=SOURCE)
        return [alert_id for alert_id, _ in raised], sorted(closed.values())

    recorded, closed = await context.database.run(record)
    wanted: dict[str, tuple[KnownModel | None, int, GrafanaAlert]] = {}
    for alert_id, alert in zip(recorded, firing, strict=True):
        if alert.asks_for_training:
            name, model = _meant(context, alert)
            wanted.setdefault(name, (model, alert_id, alert))
    return GrafanaAnswer(
        recorded=recorded,
        resolved=closed,
        retrain=[
            await _retrain(context, name, *found) for name, found in wanted.items()
        ],
    )


@router.get("/alerts", response_model=AlertList, responses=answers())
async def alerts(
    context: Context,
    open_only: Annotated[bool, Query(alias="open")] = True,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AlertList:
    """Return alerts, newest first; those that are over too with ``open=false``."""
    return AlertList(alerts=await alerts_of(context, open_only, limit))


@router.post("/alerts/{alert_id}/acknowledge", responses=answers(404), status_code=204)
async def acknowledge_alert(
    context: Context,
    alert_id: AlertId,
    by: Annotated[str, Query(max_length=100, pattern=r"^[^\x00]*$")] = "api",
) -> None:
    """Note that somebody has seen an alert."""
    await acknowledge(context, alert_id, by)


async def acknowledge(context: ApiContext, alert_id: int, by: str) -> None:
    """Note who has seen an alert; what the route and the page's button do."""

    def note() -> bool:
        with context.stores.borrowed() as store:
            return store.alerts.acknowledge(alert_id, by)

    if not await context.database.run(note):
        raise NotFound(f"there is no alert {alert_id}", remedy="see /alerts")


async def alerts_of(
    context: ApiContext, open_only: bool, limit: int
) -> list[AlertSeen]:
    """Ask the database for alerts."""

    def read() -> list[dict[str, Any]]:
        with context.stores.borrowed() as store:
            return store.alerts.records(open_only=open_only, limit=limit)

    rows = await context.database.run(read)
    return [
        AlertSeen(**{name: row[name] for name in AlertSeen.model_fields})
        for row in rows
    ]


def _meant(context: ApiContext, alert: GrafanaAlert) -> tuple[str, KnownModel | None]:
    labels = alert.labels
    if labels.get("model"):
        name = str(storable(labels["model"]))[:200]
        return name, context.models.get(name)
    stream, kind = labels.get("stream", "datacenter"), labels.get("kind", "power")
    for model in context.models.values():
        if (model.spec.name, model.kind) == (stream, kind):
            return model.name, model
    return str(storable(f"{stream}/{kind}"))[:200], None


def _heeded(context: ApiContext, name: str) -> tuple[float, str | None]:
    """Return how long a model is left alone, and since when it errs more.

    As the monitor has it: a champion on probation is not trained away, nor does a
    rollback call for a training at once.
    """
    cooldown = context.settings.api_cooldown_seconds
    with context.stores.borrowed() as store:
        probations = store.probations.newest(model_name=name, limit=1)
        reports = store.drift_reports.list(
            model_name=name, kind="error", limit=1, with_reports=True
        ).to_dict("records")
    held = 0.0
    for one in probations:
        if one.state == "watching":
            held = max(1.0, cooldown)
        elif one.state == "rolled_back" and one.decided_at is not None:
            until = one.decided_at + timedelta(seconds=cooldown)
            held = (until - datetime.now(UTC)).total_seconds()
    changed = None
    for report in reports:
        if report["state"] == "drift":
            changed = report["report"].get("change_point")
    return held, changed


async def _retrain(
    context: ApiContext,
    name: str,
    model: KnownModel | None,
    alert_id: int,
    alert: GrafanaAlert,
) -> RetrainSeen:
    if model is None:
        log.warning("alert_names_no_model", model=name, alert=alert_id)
        return RetrainSeen(model=name, result="unknown_model")
    options: dict[str, Any] = {
        "alert_id": alert_id,
        "alert_started_at": storable(alert.startsAt),
    }
    held, changed = await context.database.run(partial(_heeded, context, model.name))
    if changed is not None:
        options["change_point"] = changed
    job: RetrainJob | None = None
    wait = held
    if held <= 0:
        job, wait = await request_job(
            context,
            model,
            trigger="grafana",
            reason=alert.to_alert().message[:500],
            requested_by="grafana",
            options=options,
        )
    if job is None:
        return RetrainSeen(
            model=name, result="cooldown", retry_after=max(1, math.ceil(wait))
        )
    return RetrainSeen(
        model=name, result="open" if wait else "queued", job=JobSeen.of(job)
    )
