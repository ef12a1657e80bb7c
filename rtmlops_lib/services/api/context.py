"""What the API's routes work with: made once, handed to all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request

from rtmlops_lib.metrics import ApiMetrics
from rtmlops_lib.models.known_model import KnownModel, known_models
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.api.credentials import Credentials
from rtmlops_lib.services.api.overview import Overview
from rtmlops_lib.services.api.readiness import Readiness
from rtmlops_lib.services.api.store_pool import StorePool
from rtmlops_lib.services.api.workers import Workers
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["ApiContext", "Context"]

# A question to the database takes milliseconds; one that has not been answered by
# then will be asked again by whoever wants to know.
DATABASE_SECONDS = 5.0
STORES = 4
# The registry's client tries twice, 5 s each.
REGISTRY_SECONDS = 12.0
# A move waits for the model's lock for half of it at most.
MOVE_SECONDS = 60.0


@dataclass(frozen=True)
class ApiContext:
    """The API's dependencies.

    Parameters
    ----------
    settings : Settings
    models : mapping of str to KnownModel
        What may be asked about, by registered name.
    registry : ModelRegistry
    stores : StorePool
        For questions that are answered at once.
    probe_stores : StorePool
        For those whether all is well: the others may all be lent.
    credentials : Credentials
    metrics : ApiMetrics
    """

    settings: Settings
    models: dict[str, KnownModel]
    registry: ModelRegistry
    stores: StorePool
    probe_stores: StorePool
    credentials: Credentials
    metrics: ApiMetrics = field(default_factory=ApiMetrics)
    database: Workers = field(
        default_factory=lambda: Workers(
            # Two seconds to wait for a place, beside those for the answer.
            "the database",
            at_once=STORES,
            seconds=DATABASE_SECONDS + 2,
        )
    )
    mlflow: Workers = field(
        default_factory=lambda: Workers("MLflow", at_once=4, seconds=REGISTRY_SECONDS)
    )
    # A rollback is urgent: it must not wait behind gates.
    gates: Workers = field(
        default_factory=lambda: Workers("the gate", at_once=2, seconds=MOVE_SECONDS)
    )
    movers: Workers = field(
        default_factory=lambda: Workers("the move", at_once=2, seconds=MOVE_SECONDS)
    )
    # Of their own: whether all is well must be told while all other places are taken.
    probes: Workers = field(
        default_factory=lambda: Workers("a probe", at_once=4, seconds=3.0)
    )

    @cached_property
    def overview(self) -> Overview:
        """What the control page shows."""
        return Overview(self)

    @cached_property
    def readiness(self) -> Readiness:
        """What ``/readyz`` and ``/metrics`` ask."""
        return Readiness(self)

    @classmethod
    def of_settings(cls, settings: Settings, specs: Iterable[StreamSpec]) -> ApiContext:
        """Return the context that settings and streams ask for; nothing is connected.

        Raises
        ------
        UsageError
            Without a token, or with one that can be guessed.
        """
        return cls(
            settings=settings,
            models=known_models(settings, specs),
            registry=ModelRegistry(settings.mlflow_tracking_uri),
            stores=StorePool(lambda: _quick_store(settings), size=STORES),
            probe_stores=StorePool(lambda: _quick_store(settings), size=1),
            credentials=Credentials.of_settings(settings),
        )


def _quick_store(settings: Settings) -> PostgresStore:
    return PostgresStore(
        settings.database_url.get_secret_value(),
        schema=settings.database_schema,
        application_name="rtmlops-api",
        book_seconds=DATABASE_SECONDS,
    )


def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]
