"""A chapter's own registered models: removed at its start, one trained if asked for."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from rtmlops_lib.models.names import model_name
from rtmlops_lib.models.pipeline import Outcome, train_power_model
from rtmlops_lib.models.rows import rows_of_store
from rtmlops_lib.models.settings import PowerSettings
from rtmlops_lib.services.drift_reference import drift_reference

if TYPE_CHECKING:
    from datetime import datetime

    from rtmlops_lib.streams import StreamSpec
    from rtmlops_lib.teaching.lab import Lab

__all__ = ["make_champion", "remove_models"]


def remove_models(lab: Lab) -> list[str]:
    """Remove the chapter's models with their files, here and in the registry.

    Not a method of ``ModelRegistry``: outside of practice no model is ever removed.
    """
    # Sets MLflow's time limits before its client is made.
    lab.registry.aliases(lab.model)
    from mlflow import MlflowClient

    uri = lab.settings.mlflow_tracking_uri
    client: Any = MlflowClient(uri, uri)
    found = client.search_registered_models(f"name LIKE '{lab.prefix}%'")
    names = [str(model.name) for model in found]
    for name in names:
        for version in client.search_model_versions(f"name = '{name}'"):
            _remove_files(version.source, uri)
            client.delete_run(version.run_id)
        client.delete_registered_model(name)
    for folder in (lab.settings.home / "models").glob(f"{lab.prefix}*"):
        shutil.rmtree(folder, ignore_errors=True)
    return names


def make_champion(
    lab: Lab,
    settings: PowerSettings,
    spec: StreamSpec,
    *,
    since: datetime,
    watched: bool,
) -> Outcome:
    """Train on the chapter's stored rows and promote through the gate, as always.

    Parameters
    ----------
    watched : bool
        Whether to calibrate what a monitor holds it against, which takes a while.
    """
    started = time.monotonic()
    name, window = model_name(lab.settings, spec), lab.settings.monitor_window_seconds
    frame, flagged = rows_of_store(lab.store, spec, since=since)
    outcome = train_power_model(
        lab.registry,
        lab.store,
        name,
        spec,
        frame,
        flagged=flagged,
        settings=settings,
        beside=drift_reference(spec, window_seconds=window) if watched else None,
    )
    if not outcome.promoted:
        raise RuntimeError(outcome.gate.summary)
    print(
        f"  model   {name} v{outcome.version.version} is champion: MAPE "
        f"{outcome.trained.metrics['mape']:.2%} "
        f"({time.monotonic() - started:.1f} s)"
    )
    return outcome


def _remove_files(source: str, tracking_uri: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
    )

    repository: Any = get_artifact_repository(source, tracking_uri=tracking_uri)
    try:
        repository.delete_artifacts()
    except (MlflowException, OSError, NotImplementedError):
        # What is left behind costs room and nothing else.
        return
