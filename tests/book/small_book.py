"""The real pages with one chapter that needs no stack."""

from __future__ import annotations

import shutil
from pathlib import Path

from booklib.paths import ROOT, Layout

__all__ = ["FIXTURE", "small_book"]

FIXTURE = Path(__file__).parent / "fixture" / "01_fixture.md"


def small_book(root: Path) -> Layout:
    """Copy the book's pages to ``root``, with the fixture as the only chapter."""
    shutil.copytree(
        ROOT / "book",
        root / "book",
        ignore=shutil.ignore_patterns("chapters", "__pycache__"),
    )
    for name in ("_config.yml", "_toc.yml", "CHANGELOG.md"):
        shutil.copy2(ROOT / name, root / name)
    layout = Layout(root)
    layout.chapters.mkdir()
    layout.notebooks.mkdir()
    shutil.copy2(FIXTURE, layout.chapters)
    return layout
