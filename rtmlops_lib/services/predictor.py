"""The predictor service: one prediction an event and model role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtmlops_lib.errors import UsageError
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.aliases import CHALLENGER, CHAMPION, PREVIOUS
from rtmlops_lib.models.hot_models import HotModels, ServedModel
from rtmlops_lib.models.names import model_folder, model_name
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.power_files import load_power
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.services.handler import Handler
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.intake import Chunk, batches_by_stream
from rtmlops_lib.services.letters import DeadLetters
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import ColumnBatch, StreamSpec, prediction_spec
from rtmlops_lib.transport.factory import open_consumer

__all__ = [
    "PREDICTOR_GROUP",
    "PredictionHandler",
    "hot_models",
    "predictions",
    "predictor_loop",
]

PREDICTOR_GROUP = "predictor"


class PredictionHandler(Handler):
    """Every event gets a row from the champion, and one from each shadow.

    Parameters
    ----------
    models : mapping of str to HotModels
        By stream name. Each has a champion before the loop begins.
    specs : sequence of StreamSpec

    Notes
    -----
    What breaks codec or spec is counted and left to the storage service, which alone
    makes dead letters of it.
    """

    def __init__(
        self,
        models: Mapping[str, HotModels[PowerModel]],
        specs: Sequence[StreamSpec],
    ) -> None:
        self._models = models
        self._tables = {spec.name: prediction_spec(spec) for spec in specs}

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Predict; the models are read once, so that a batch has one version each."""
        batches = []
        for stream, events in batches_by_stream(chunks).items():
            models = self._models[stream]
            batches.append(
                predictions(events, self._tables[stream], models.name, models.snapshot)
            )
        skipped = [
            Letter(chunk.stream, chunk.raw, r.index, r.reason, r.detail)
            for chunk in chunks
            for r in chunk.decoded.rejects
        ]
        return Prepared(batches=batches, skipped=skipped)


def predictions(
    events: ColumnBatch,
    table: StreamSpec,
    name: str,
    models: Sequence[ServedModel[PowerModel]],
) -> ColumnBatch:
    """Return the predictions of some events as rows of their table.

    Parameters
    ----------
    events : ColumnBatch
        n events.
    table : StreamSpec
        See ``prediction_spec``.
    name : str
        The registered model's name.
    models : sequence of ServedModel
        m models, one a role.

    Returns
    -------
    ColumnBatch
        n * m rows, role by role.
    """
    count = len(events)
    inputs: dict[object, NDArray[np.float32]] = {}
    parts = []
    for served in models:
        features = served.model.features
        if features not in inputs:
            inputs[features] = features.of_batch(events)
        predicted = served.model.predict(inputs[features])
        keys = {
            column: events.columns[column]
            for column in table.fields
            if column in events.columns
        }
        version = np.full(count, served.version.version, np.int64)
        parts.append(
            ColumnBatch(
                spec=table,
                time=events.time,
                columns={
                    **keys,
                    "model_name": np.full(count, name, object),
                    "role": np.full(count, served.role, object),
                    "model_version": version,
                    "predicted": predicted,
                },
                partition=events.partition,
                offset=events.offset,
            )
        )
    return ColumnBatch.concat(parts)


def hot_models(
    settings: Settings, specs: Sequence[StreamSpec]
) -> dict[str, HotModels[PowerModel]]:
    """Return what follows each stream's model; nothing is asked before it starts."""
    registry = ModelRegistry(settings.mlflow_tracking_uri)
    found = {}
    for spec in specs:
        name = model_name(settings, spec)
        found[spec.name] = HotModels(
            registry,
            name,
            partial(_load, spec),
            model_folder(settings, name),
            roles=(CHAMPION, CHALLENGER, PREVIOUS),
        )
    return found


def _load(spec: StreamSpec, folder: Path, version: ModelVersion) -> PowerModel:
    return load_power(folder, version.sha256, spec)


def predictor_loop(
    settings: Settings,
    specs: Sequence[StreamSpec],
    models: Mapping[str, HotModels[PowerModel]],
    *,
    group: str = PREDICTOR_GROUP,
    options: LoopOptions | None = None,
    metrics: ServiceMetrics | None = None,
    health: Health | None = None,
    group_instance_id: str | None = None,
) -> ConsumeLoop:
    """Return a loop that predicts these streams' targets; nothing is opened yet.

    Without ``options`` it behaves as the settings say.

    Raises
    ------
    UsageError
        For a stream without a target.
    """
    for spec in specs:
        if spec.target is None:
            raise UsageError(
                f"stream {spec.name!r} has no target to predict",
                remedy="name one in its spec: 'target: <a number field>'",
            )
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
        handler=PredictionHandler(models, specs),
        sink=DeadLetters(settings, group=group),
        metrics=ServiceMetrics("predictor") if metrics is None else metrics,
        health=Health() if health is None else health,
        options=LoopOptions.from_settings(settings) if options is None else options,
    )
