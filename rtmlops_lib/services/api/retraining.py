"""``/retrain`` and ``/jobs``: ask for a training, follow it, cancel it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from rtmlops_lib.models.known_model import KnownModel
from rtmlops_lib.services.api.context import ApiContext, Context
from rtmlops_lib.services.api.problems import NotFound, Refused, answers, cooling
from rtmlops_lib.services.api.schemas import (
    CancelRequest,
    JobList,
    JobSeen,
    RetrainRequest,
)
from rtmlops_lib.store import JobState, RetrainJob

__all__ = ["cancel_job", "known_model", "request_job", "router"]

router = APIRouter(tags=["training"])


@router.post(
    "/retrain",
    status_code=202,
    response_model=JobSeen,
    responses={
        **answers(404, 429),
        200: {"model": JobSeen, "description": "A training was asked for before."},
        202: {"description": "The job is queued; a trainer takes it."},
    },
)
async def retrain(
    context: Context, response: Response, wanted: RetrainRequest | None = None
) -> JobSeen | JSONResponse:
    """Ask for a training; of a model at most one is queued or running."""
    asked = RetrainRequest() if wanted is None else wanted
    model = known_model(context, asked.stream, asked.kind)
    options = {}
    if asked.change_point is not None:
        options["change_point"] = asked.change_point.isoformat()
    job, wait = await request_job(
        context,
        model,
        trigger=asked.trigger,
        reason=asked.reason,
        requested_by=asked.requested_by or "api",
        options=options,
    )
    if job is None:
        return cooling(model.name, wait)
    response.status_code = 202 if wait == 0 else 200
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobSeen.of(job)


@router.get("/jobs", response_model=JobList, responses=answers())
async def jobs(
    context: Context,
    model: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobList:
    """Return the jobs asked for last, newest first."""

    def read() -> list[RetrainJob]:
        with context.stores.borrowed() as store:
            return store.retrain_jobs.newest(limit=limit, model_name=model, state=state)

    found = await context.database.run(read)
    return JobList(jobs=[JobSeen.of(job) for job in found])


@router.get("/jobs/{job_id}", response_model=JobSeen, responses=answers(404))
async def job(context: Context, job_id: UUID) -> JobSeen:
    """Return one job."""

    def read() -> RetrainJob | None:
        with context.stores.borrowed() as store:
            return store.retrain_jobs.get(str(job_id))

    found = await context.database.run(read)
    if found is None:
        raise NotFound(f"there is no job {job_id}", remedy="see /jobs")
    return JobSeen.of(found)


@router.post(
    "/jobs/{job_id}/cancel", response_model=JobSeen, responses=answers(404, 409)
)
async def cancel(
    context: Context, job_id: UUID, wanted: CancelRequest | None = None
) -> JobSeen:
    """End a training that is queued or running; its trainer drops it within seconds.

    What stands where it is then goes on serving. Answers 409 once the training ended,
    or has registered its version: what becomes of that is a matter of moments, and can
    be rolled back.
    """
    reason = "" if wanted is None else wanted.reason
    return JobSeen.of(await cancel_job(context, job_id, reason, by="the API"))


async def cancel_job(
    context: ApiContext, job_id: UUID, reason: str, *, by: str
) -> RetrainJob:
    """Cancel a job; what the route and the page's button do."""
    outcome = f"cancelled through {by}" + (f": {reason}" if reason.strip() else "")

    def end() -> tuple[RetrainJob | None, RetrainJob | None]:
        with context.stores.borrowed() as store:
            done = store.retrain_jobs.cancel(str(job_id), outcome)
            return done, done or store.retrain_jobs.get(str(job_id))

    done, found = await context.database.run(end)
    if found is None:
        raise NotFound(f"there is no job {job_id}", remedy="see /jobs")
    if done is not None:
        return done
    if found.open:
        raise Refused(
            f"v{found.version} of {found.model_name} is registered, and just being "
            "decided about",
            remedy="look again in a moment; what was promoted can be rolled back",
        )
    raise Refused(f"job {job_id} ended before: {found.state}", remedy="see /jobs")


def known_model(context: ApiContext, stream: str, kind: str) -> KnownModel:
    """Return the model of a stream, or say that there is none."""
    for model in context.models.values():
        if (model.spec.name, model.kind) == (stream, kind):
            return model
    known = ", ".join(f"{m.spec.name}/{m.kind}" for m in context.models.values())
    raise NotFound(
        f"no {kind} model belongs to a stream {stream!r}",
        remedy=f"one of {known} (stream/kind)",
    )


async def request_job(
    context: ApiContext,
    model: KnownModel,
    *,
    trigger: str,
    reason: str,
    requested_by: str,
    options: Mapping[str, Any],
) -> tuple[RetrainJob | None, float]:
    """Ask for a training; return what ``RetrainJobs.request`` returns."""

    def ask() -> tuple[RetrainJob | None, float]:
        with context.stores.borrowed() as store:
            return store.retrain_jobs.request(
                model.name,
                stream=model.spec.name,
                kind=model.kind,
                trigger=trigger,
                reason=reason,
                requested_by=requested_by,
                options=options,
                cooldown_seconds=context.settings.api_cooldown_seconds,
            )

    return await context.database.run(ask)
