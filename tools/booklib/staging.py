"""The copy of the book that is run and rendered."""

from __future__ import annotations

import shutil
from pathlib import Path

from booklib.paths import Layout

__all__ = ["copy_pages", "fresh_folder"]

_FILES = ["_config.yml", "_toc.yml", "CHANGELOG.md"]


def fresh_folder(path: Path) -> Path:
    """Return ``path`` as an empty folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def copy_pages(layout: Layout, target: Path) -> None:
    """Copy all but the chapters and notebooks."""
    shutil.copytree(
        layout.book,
        target / "book",
        ignore=shutil.ignore_patterns("chapters", "__pycache__"),
        dirs_exist_ok=True,
    )
    for name in _FILES:
        if (layout.root / name).is_file():
            shutil.copy2(layout.root / name, target / name)
    (target / "notebooks").mkdir(exist_ok=True)
