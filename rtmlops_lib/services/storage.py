"""The storage service: every event of a stream becomes one row."""

from __future__ import annotations

from collections.abc import Sequence

from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.handler import Handler
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.intake import Chunk, batches_by_stream
from rtmlops_lib.services.letters import DeadLetters
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import StreamSpec
from rtmlops_lib.transport.factory import open_consumer

__all__ = ["STORAGE_GROUP", "StorageHandler", "storage_loop"]

STORAGE_GROUP = "storage"


class StorageHandler(Handler):
    """Rows are the valid events; what breaks codec or spec becomes a dead letter.

    Only this service dead-letters broken events: others read the same topics and
    would send the same letters again.
    """

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Pass events on as they are: the store alone knows which came first."""
        return Prepared(
            batches=list(batches_by_stream(chunks).values()),
            letters=[
                Letter(chunk.stream, chunk.raw, r.index, r.reason, r.detail)
                for chunk in chunks
                for r in chunk.decoded.rejects
            ],
        )


def storage_loop(
    settings: Settings,
    specs: Sequence[StreamSpec],
    *,
    group: str = STORAGE_GROUP,
    options: LoopOptions | None = None,
    metrics: ServiceMetrics | None = None,
    health: Health | None = None,
    group_instance_id: str | None = None,
) -> ConsumeLoop:
    """Return a loop that stores these streams; nothing is opened before it runs.

    Without ``options`` it behaves as the settings say.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> loop = storage_loop(Settings(), list(builtin_specs().values()))
    >>> loop.options.batch_max_rows
    5000
    """
    return ConsumeLoop(
        group=group,
        specs=specs,
        open_consumer=lambda: open_consumer(
            settings,
            group=group,
            topics=[spec.topic for spec in specs],
            group_instance_id=group_instance_id,
        ),
        store=open_store(settings),
        handler=StorageHandler(),
        sink=DeadLetters(settings),
        metrics=ServiceMetrics("storage") if metrics is None else metrics,
        health=Health() if health is None else health,
        options=LoopOptions.from_settings(settings) if options is None else options,
    )
