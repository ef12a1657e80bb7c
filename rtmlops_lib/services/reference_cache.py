"""A champion's drift reference, from the registry and, once checked, from disk."""

from __future__ import annotations

import re
from contextlib import suppress

from rtmlops_lib.models.errors import ModelRefused
from rtmlops_lib.models.model_cache import ModelCache
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from rtmlops_lib.services.drift_reference import (
    CALIBRATION,
    DriftReference,
    read_reference,
)
from rtmlops_lib.settings import Settings

__all__ = ["ReferenceCache"]


class ReferenceCache:
    """Fetches references; the last one is there also while the registry is away.

    Parameters
    ----------
    settings : Settings
    registry : ModelRegistry
    name : str
        The registered model.
    """

    def __init__(self, settings: Settings, registry: ModelRegistry, name: str) -> None:
        folder = settings.home / "references" / re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self._cache = ModelCache(folder, files=(CALIBRATION,))
        self._registry = registry
        self._name = name

    def load(self, version: ModelVersion) -> DriftReference:
        """Return a version's reference, every check passed.

        Raises
        ------
        ModelRefused
            For a version without one, or whose file is not what was registered.
        RegistryUnavailable
            When it has to be fetched and cannot.
        """
        if CALIBRATION not in version.sha256:
            raise ModelRefused(
                f"{self._name} v{version.version} has no drift reference",
                remedy="train a version with this release: 'rtmlops train power'",
            )
        folder = self._cache.fetch(self._registry, version)
        try:
            reference = read_reference(folder, version)
        except ModelRefused:
            # It may have been cut on its way, or on this disk.
            self._cache.discard(version)
            raise
        # A full disk costs no more than the next start's download.
        with suppress(OSError):
            self._cache.remember(version)
            self._cache.keep_only([version])
        return reference

    def remembered(self) -> ModelVersion | None:
        """Return the version loaded last, None where there is none on disk."""
        version = self._cache.remembered()
        if version is None or version.name != self._name:
            return None
        return version if self._cache.path(version).is_dir() else None
