"""Fixtures of the book's tests; the tools are importable from here on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from booklib.paths import Layout  # noqa: E402

from tests.book.small_book import FIXTURE, small_book  # noqa: E402


@pytest.fixture
def book(tmp_path: Path) -> Layout:
    """A fresh small book."""
    return small_book(tmp_path)


@pytest.fixture
def edit(book: Layout) -> Callable[[str, str], None]:
    """Replace a text of the fixture's source."""

    def replace(old: str, new: str) -> None:
        source = book.chapters / FIXTURE.name
        text = source.read_text(encoding="utf-8")
        assert old in text
        source.write_text(text.replace(old, new, 1), encoding="utf-8")

    return replace
