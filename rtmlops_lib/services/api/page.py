"""The control page at ``/``: what is, and a few buttons."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Cookie, Header, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.api.alerting import acknowledge
from rtmlops_lib.services.api.context import ApiContext, Context
from rtmlops_lib.services.api.credentials import SESSION_SECONDS
from rtmlops_lib.services.api.grafana import storable
from rtmlops_lib.services.api.rendering import render
from rtmlops_lib.services.api.retraining import cancel_job, request_job
from rtmlops_lib.services.api.serving import roll_back_model

__all__ = ["htmx_script", "router"]

log = get_logger(__name__)
router = APIRouter()

COOKIE = "rtmlops_session"
SessionCookie = Annotated[str | None, Cookie(alias=COOKIE)]
FIELDS = 20


@router.get("/")
async def control_page(
    context: Context,
    session: SessionCookie = None,
    note: Annotated[str | None, Query()] = None,
    hx_request: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the page, or the question for the token.

    htmx asks for the page as a browser does, and takes its parts.
    """
    name = context.credentials.session_name(session)
    if name is None:
        if hx_request:
            # No part of the page: the whole window goes to where the token is asked.
            return Response(status_code=204, headers={"HX-Redirect": "/"})
        return HTMLResponse(render("login.html", wrong=False))
    seen = await context.overview.get()
    body = render(
        "control.html",
        seen=seen,
        note=context.credentials.note(note),
        form_token=context.credentials.form_token(name),
    )
    # htmx shows no errors' bodies; this one is the page, which says what is away.
    away = bool(seen.problems) and not hx_request
    return HTMLResponse(
        body, 503 if away else 200, {"Retry-After": "5"} if away else {}
    )


@router.get("/page/static/htmx.js")
async def htmx() -> Response:
    """Return the library that keeps the page up to date."""
    return Response(htmx_script(), media_type="text/javascript")


@cache
def htmx_script() -> bytes:
    """Return htmx as its package brings it; nothing of Django is imported for it."""
    place = files("django_htmx") / "static" / "django_htmx" / "htmx-2.min.js"
    return place.read_bytes()


@router.post("/page/login")
async def login(request: Request, context: Context) -> Response:
    """Take the token, give a session."""
    form = await _form(request)
    if not context.credentials.is_token(form.get("token", "")):
        log.warning("login_refused", client=request.client and request.client.host)
        return HTMLResponse(render("login.html", wrong=True), 401)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        context.credentials.new_session(),
        max_age=SESSION_SECONDS,
        # Out of reach of scripts, and never sent along by another site's page.
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/page/logout")
async def logout(
    request: Request, context: Context, session: SessionCookie = None
) -> Response:
    """Forget the session."""
    form = await _form(request)
    refused = _refusal(request, context, session, form)
    if refused is not None:
        return refused
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.post("/page/retrain")
async def retrain(
    request: Request, context: Context, session: SessionCookie = None
) -> Response:
    """Ask for a training."""
    form = await _form(request)
    refused = _refusal(request, context, session, form)
    if refused is not None:
        return refused
    model = context.models.get(form.get("model", ""))
    if model is None:
        return _back(context, "There is no such model.")
    try:
        job, wait = await request_job(
            context,
            model,
            trigger="manual",
            reason=form.get("reason", ""),
            requested_by="control page",
            options={},
        )
    except RtmlopsError as error:
        return _back(context, str(error))
    if job is None:
        return _back(
            context, f"{model.name} was trained a moment ago; wait {wait:.0f} s."
        )
    said = "is queued" if wait == 0 else f"was asked for before and is {job.state}"
    return _back(context, f"A training of {model.name} {said}.")


@router.post("/page/jobs/{job_id}/cancel")
async def cancel(
    request: Request, context: Context, job_id: UUID, session: SessionCookie = None
) -> Response:
    """Cancel a training."""
    form = await _form(request)
    refused = _refusal(request, context, session, form)
    if refused is not None:
        return refused
    try:
        job = await cancel_job(context, job_id, "", by="the control page")
    except RtmlopsError as error:
        return _back(context, str(error))
    return _back(context, f"The training of {job.model_name} is cancelled.")


@router.post("/page/models/{name}/rollback")
async def rollback(
    request: Request,
    context: Context,
    name: Annotated[str, Path(max_length=200)],
    session: SessionCookie = None,
) -> Response:
    """Roll a model back."""
    form = await _form(request)
    refused = _refusal(request, context, session, form)
    if refused is not None:
        return refused
    reason = form.get("reason", "").strip()
    if not reason:
        return _back(context, "A rollback needs a reason.")
    try:
        events = await roll_back_model(context, name, reason)
    except RtmlopsError as error:
        return _back(context, str(error))
    now = [event.to_version for event in events if event.alias == "champion"]
    said = f"{name} is rolled back: v{now[-1]} serves." if now else "Done already."
    return _back(context, said)


@router.post("/page/alerts/{alert_id}/acknowledge")
async def acknowledge_alert(
    request: Request,
    context: Context,
    alert_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    session: SessionCookie = None,
) -> Response:
    """Note that an alert was seen."""
    form = await _form(request)
    refused = _refusal(request, context, session, form)
    if refused is not None:
        return refused
    try:
        await acknowledge(context, alert_id, "control page")
    except RtmlopsError as error:
        return _back(context, str(error))
    return _back(context, "Acknowledged.")


def _refusal(
    request: Request, context: ApiContext, session: str | None, form: dict[str, str]
) -> Response | None:
    """Return the answer to a form that did not come from our page; None = it did."""
    name = context.credentials.session_name(session)
    if name is None:
        return HTMLResponse(render("login.html", wrong=False), 401)
    # What newer browsers say of themselves; older ones have the form's token alone.
    site = request.headers.get("sec-fetch-site", "same-origin")
    given = form.get("form_token", "")
    if site != "same-origin" or not context.credentials.is_form_token(name, given):
        log.warning("form_refused", path=request.url.path, site=site)
        text = "This form did not come from the page. Load the page again."
        return HTMLResponse(render("refused.html", text=text), HTTPStatus.FORBIDDEN)
    return None


def _back(context: ApiContext, note: str) -> Response:
    context.overview.forget()
    signed = context.credentials.sign_note(note[:500])
    return RedirectResponse(f"/?note={signed}", 303)


async def _form(request: Request) -> dict[str, str]:
    """Read a form; what is none has no fields."""
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        return {}
    return {name: str(storable(value))[:500] for name, value in pairs}
