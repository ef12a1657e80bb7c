"""The application: routes, and what stands before them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.staticfiles import StaticFiles

from rtmlops_lib import __version__
from rtmlops_lib.services.api import (
    alerting,
    operations,
    page,
    retraining,
    serving,
)
from rtmlops_lib.services.api.context import ApiContext
from rtmlops_lib.services.api.middleware import (
    BodyLimit,
    Gate,
    Observed,
    SecureHeaders,
)
from rtmlops_lib.services.api.problems import add_handlers

__all__ = ["create_app"]

# A notification of Grafana's may hold two thousand alerts; anything else is small.
GRAFANA_BYTES, BODY_BYTES = 4 * 1024**2, 64 * 1024
BODY_SECONDS = 10.0
DESCRIPTION = """
Ask for trainings, see what became of them, promote and roll back models, and take
alerts from Grafana. Every call but `/healthz`, `/readyz` and `/metrics` needs the
header `Authorization: Bearer <RTMLOPS_API_TOKEN>`. Errors are JSON with `error`,
`remedy` and `fields`; 503 and 429 say in `Retry-After` when to come again.
"""


def create_app(context: ApiContext) -> FastAPI:
    """Return the application over a context; nothing is asked before a request."""
    app = FastAPI(
        title="rtmlops",
        summary="Retraining on demand.",
        description=DESCRIPTION,
        version=__version__,
        # The framework's pages load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    for module in (retraining, serving, alerting, operations):
        app.include_router(module.router)
    app.include_router(page.router, include_in_schema=False)
    app.mount(
        "/page/static",
        StaticFiles(packages=[("rtmlops_lib.services.api", "static")]),
        name="static",
    )
    add_handlers(app)
    # The last one added is met first.
    app.add_middleware(
        BodyLimit,
        limits={"/alerts/grafana": GRAFANA_BYTES},
        default=BODY_BYTES,
        seconds=BODY_SECONDS,
    )
    app.add_middleware(Gate, credentials=context.credentials)
    app.add_middleware(Observed, metrics=context.metrics)
    app.add_middleware(SecureHeaders)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    """Let the schema say which calls need the token."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            components = schema.setdefault("components", {})
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"}
            }
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path in Gate.OPEN else [{"token": []}]
            for name in ("HTTPValidationError", "ValidationError"):
                components.get("schemas", {}).pop(name, None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
