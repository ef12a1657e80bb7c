"""Verified model files on disk, for when the registry is away."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rtmlops_lib.logs import get_logger
from rtmlops_lib.models.bundle import MANIFEST, MODEL
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion

__all__ = ["ModelCache"]

log = get_logger(__name__)
_POINTER = "champion.json"


class ModelCache:
    """A folder with the files of the versions in use.

    Parameters
    ----------
    folder : Path
        Of one model; made when needed.
    files : sequence of str
        Which of a version's files are kept.

    Notes
    -----
    A version's folder appears by a rename, complete; its files are checked again at
    every load, so that a disk that lies is found out.
    """

    def __init__(self, folder: Path, files: Sequence[str] = (MODEL, MANIFEST)) -> None:
        self.folder = folder
        self._files = files

    def path(self, version: ModelVersion) -> Path:
        """Return where a version's files are, or would be."""
        # With the hash: a registry that was made anew counts from 1 again.
        return self.folder / f"v{version.version}-{version.sha256.get(MODEL, '')[:16]}"

    def fetch(self, registry: ModelRegistry, version: ModelVersion) -> Path:
        """Return the folder with a version's files, downloaded where they are not."""
        path = self.path(version)
        if path.is_dir():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
        try:
            registry.download(version, self._files, partial)
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return path

    def discard(self, version: ModelVersion) -> None:
        """Remove files that were refused: the next try downloads them again."""
        shutil.rmtree(self.path(version), ignore_errors=True)

    def remember(self, version: ModelVersion) -> None:
        """Note which verified version was champion last."""
        text = json.dumps(
            {
                "name": version.name,
                "version": version.version,
                "sha256": version.sha256,
            }
        )
        partial = self.folder / f".{_POINTER}.{os.getpid()}"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, self.folder / _POINTER)

    def remembered(self) -> ModelVersion | None:
        """Return the last champion, None where there is none to be read."""
        try:
            raw = json.loads((self.folder / _POINTER).read_text(encoding="utf-8"))
            hashes: Mapping[str, str] = raw["sha256"]
            return ModelVersion(
                name=str(raw["name"]),
                version=int(raw["version"]),
                source="",
                run_id="",
                tags={f"sha256.{name}": str(value) for name, value in hashes.items()},
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("model_cache_unreadable", error=repr(error))
            return None

    def keep_only(self, versions: Collection[ModelVersion]) -> None:
        """Remove all other versions' files."""
        kept = {self.path(version).name for version in versions} | {_POINTER}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name not in kept and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
