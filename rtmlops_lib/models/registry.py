"""The model registry: MLflow behind a few calls, each bounded in time."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from rtmlops_lib.errors import RtmlopsError, UsageError
from rtmlops_lib.models.errors import ModelRefused, RegistryUnavailable
from rtmlops_lib.settings import mask_credentials

__all__ = ["ModelRegistry", "ModelVersion"]

# MLflow's own defaults are 120 s and seven tries, doubling: half an hour for one call
# to a server that is away. What a site sets itself stays.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
DOWNLOAD_SECONDS = 60.0
_SHA256 = "sha256."


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version.

    Parameters
    ----------
    name, version : str, int
    source : str
        Where its files are.
    run_id : str
    tags : mapping of str to str
        Lineage, and the SHA-256 of each file.
    created_ms : int
    aliases : tuple of str
    """

    name: str
    version: int
    source: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    created_ms: int = 0
    aliases: tuple[str, ...] = ()

    @property
    def sha256(self) -> dict[str, str]:
        """The registered hash of each file."""
        return {
            name.removeprefix(_SHA256): value
            for name, value in self.tags.items()
            if name.startswith(_SHA256)
        }

    @property
    def rolled_back(self) -> str | None:
        """Why it was rolled back, None when it never was."""
        return self.tags.get("rolled_back")


class ModelRegistry:
    """Reads and writes models in MLflow.

    Parameters
    ----------
    tracking_uri : str
        Where MLflow is.

    Raises
    ------
    RegistryUnavailable
        From every method, when MLflow does not answer in time.
    UsageError
        For a model or version that does not exist.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self._lazy: Any = None

    @property
    def _client(self) -> Any:
        if self._lazy is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            # It announces every wait for a version at INFO, on standard error.
            logging.getLogger("mlflow").setLevel(logging.WARNING)
            self._lazy = MlflowClient(self.tracking_uri, self.tracking_uri)
        return self._lazy

    def prepare(self) -> None:
        """Import MLflow's client now, which takes seconds, and not with a question."""
        _ = self._client

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version of each alias; {} for a model that does not exist."""
        try:
            with self._asking():
                found = self._client.get_registered_model(name).aliases
        except UsageError:
            return {}
        return {alias: int(version) for alias, version in found.items()}

    def version(self, name: str, version: int) -> ModelVersion:
        """Return one version."""
        with self._asking():
            return _version(self._client.get_model_version(name, str(version)))

    def versions(self, name: str) -> list[ModelVersion]:
        """Return all versions with their aliases, newest first."""
        aliases = self.aliases(name)
        with self._asking():
            found = [
                _version(
                    v,
                    tuple(sorted(a for a, n in aliases.items() if n == int(v.version))),
                )
                for v in self._client.search_model_versions(
                    f"name = '{name}'", max_results=200
                )
            ]
        return sorted(found, key=lambda v: -v.version)

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return what a run measured."""
        with self._asking():
            return dict(self._client.get_run(run_id).data.metrics)

    def register(
        self,
        name: str,
        folder: Path,
        *,
        hashes: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        figures: Mapping[str, Any] | None = None,
        on_step: Callable[[str], None] = lambda text: None,
    ) -> ModelVersion:
        """Log a run with the files of ``folder`` and make a version of it.

        Parameters
        ----------
        hashes : mapping of str to str
            SHA-256 by file name; become tags.
        figures : mapping of str to matplotlib Figure, optional
            By file name.
        """
        from mlflow.entities import Metric, Param

        tags = {**tags, **{f"{_SHA256}{n}": value for n, value in hashes.items()}}
        with self._asking():
            run = self._client.create_run(self._experiment(name), run_name=name)
            run_id = run.info.run_id
            status = "FAILED"
            try:
                on_step("logging parameters and metrics")
                self._client.log_batch(
                    run_id,
                    metrics=[Metric(k, v, 0, 0) for k, v in metrics.items()],
                    params=[Param(k, str(v)) for k, v in params.items()],
                )
                for file, figure in (figures or {}).items():
                    self._client.log_figure(run_id, figure, f"figures/{file}")
                on_step("sending the model's files")
                self._client.log_artifacts(run_id, str(folder), "model")
                on_step("registering the version")
                self._make_model(name)
                made = self._client.create_model_version(
                    name,
                    source=f"{run.info.artifact_uri}/model",
                    run_id=run_id,
                    tags={k: v[:5_000] for k, v in tags.items()},
                )
                status = "FINISHED"
            finally:
                self._client.set_terminated(run_id, status)
        return _version(made)

    def download(
        self,
        version: ModelVersion,
        files: Sequence[str],
        folder: Path,
        *,
        timeout_seconds: float = DOWNLOAD_SECONDS,
    ) -> None:
        """Fetch files of a version into ``folder``; what is there is not trusted.

        Raises
        ------
        ModelRefused
            When MLflow answers, and has not all of them.
        """
        failed: list[BaseException] = []

        def fetch() -> None:
            try:
                with self._asking():
                    from mlflow.artifacts import download_artifacts

                    for file in files:
                        download_artifacts(
                            artifact_uri=f"{version.source}/{file}",
                            dst_path=str(folder),
                            tracking_uri=self.tracking_uri,
                        )
            except RtmlopsError as error:
                failed.append(self._why_not(version, files, error))
            except BaseException as error:
                failed.append(error)

        folder.mkdir(parents=True, exist_ok=True)
        _ = self._client  # sets the environment before the thread imports MLflow
        thread = threading.Thread(target=fetch, name="model-download", daemon=True)
        thread.start()
        # A server that trickles keeps every single read within its timeout.
        thread.join(timeout_seconds)
        if thread.is_alive():
            raise RegistryUnavailable(
                f"the files of {version.name} v{version.version} did not arrive within "
                f"{timeout_seconds:g} s",
                remedy=f"look at MLflow at {mask_credentials(self.tracking_uri)}",
            )
        if failed:
            raise failed[0]

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Point an alias to a version, or remove it; only ``move_aliases`` calls it."""
        with self._asking():
            if version is None:
                self._client.delete_registered_model_alias(name, alias)
            else:
                self._client.set_registered_model_alias(name, alias, str(version))

    def set_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Tag a version."""
        with self._asking():
            self._client.set_model_version_tag(name, str(version), key, value)

    def _why_not(
        self, version: ModelVersion, files: Sequence[str], error: RtmlopsError
    ) -> RtmlopsError:
        """Return why files could not be fetched: a missing one looks like an outage."""
        from mlflow.artifacts import list_artifacts

        try:
            with self._asking():
                found = list_artifacts(
                    artifact_uri=version.source, tracking_uri=self.tracking_uri
                )
        except RtmlopsError:
            return error
        there = {PurePosixPath(one.path).name for one in found}
        missing = [file for file in files if file not in there]
        if not missing:
            return error
        return ModelRefused(
            f"files: MLflow has no {', '.join(missing)} of {version.name} "
            f"v{version.version}",
            remedy="restore the files of its run, or train a new version",
        )

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name))

    def _make_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        _ = self._client
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            yield
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                raise UsageError(
                    f"MLflow knows no such model or version: {error.message}",
                    remedy="'rtmlops models list' shows what there is",
                ) from error
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise UsageError(f"MLflow refuses: {error.message}") from error
            raise self._away(error) from error
        except (RequestException, OSError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> RegistryUnavailable:
        text = " ".join(str(error).split())
        return RegistryUnavailable(
            f"MLflow at {mask_credentials(self.tracking_uri)} does not answer: "
            f"{text[:200]}",
            remedy="check RTMLOPS_MLFLOW_TRACKING_URI, and whether it runs",
        )


def _version(found: Any, aliases: tuple[str, ...] = ()) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        source=found.source,
        run_id=found.run_id or "",
        tags=dict(found.tags),
        created_ms=int(found.creation_timestamp or 0),
        aliases=aliases,
    )
