"""``/healthz``, ``/readyz`` and ``/metrics``: for whoever operates the API."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from rtmlops_lib.services.api.context import Context

__all__ = ["router"]

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The process answers."""

    alive: bool = True


class Ready(BaseModel):
    """Whether requests can be served, and what stands in the way."""

    ready: bool
    reasons: list[str]


@router.get("/healthz", response_model=Alive)
async def healthz() -> Alive:
    """Say that the process is alive."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "The reasons say what is away."}},
)
async def readyz(context: Context) -> JSONResponse:
    """Say whether database and MLflow answer."""
    reasons = await context.readiness.reasons()
    body = Ready(ready=not reasons, reasons=list(reasons))
    headers = {"Retry-After": "5"} if reasons else {}
    return JSONResponse(body.model_dump(), 503 if reasons else 200, headers)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics(context: Context) -> Response:
    """Return what Prometheus scrapes."""
    await context.readiness.reasons()
    await context.readiness.count_jobs()
    return Response(
        generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST
    )
