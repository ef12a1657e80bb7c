"""All rules over all chapters."""

from __future__ import annotations

from pathlib import Path

from booklib.chapter import SourceError, read_chapter
from booklib.lint.code import check_code
from booklib.lint.frame import check_frame
from booklib.lint.mentions import check_mentions, check_page
from booklib.lint.problem import Problem
from booklib.lint.references import Targets, check_prose, check_references
from booklib.notebook import notebook_text
from booklib.paths import Layout

__all__ = ["lint_book", "lint_pages"]


def lint_book(layout: Layout, only: list[Path] | None = None) -> list[str]:
    """Return every broken rule as ``file:line: message``, in order."""
    chapters = {}
    broken = []
    for path in layout.sources():
        try:
            chapters[path.stem] = read_chapter(path)
        except SourceError as error:
            broken.append(f"{layout.show(path.parent)}/{error}")
    numbers = sorted(chapter.number for chapter in chapters.values())
    for number in sorted({n for n in numbers if numbers.count(n) > 1}):
        broken.append(
            f"{layout.show(layout.chapters)}:1: two chapters are called {number:02d}"
        )
    targets = Targets(layout=layout, chapters=chapters)
    for chapter in chapters.values():
        if only is not None and chapter.path not in only:
            continue
        problems: list[Problem] = []
        for found in (
            check_frame(chapter),
            check_code(chapter),
            check_prose(chapter),
            check_references(chapter, targets),
            check_mentions(chapter, numbers),
        ):
            problems += found
        shown = layout.show(chapter.path)
        broken += [f"{shown}:{p.line}: {p.message}" for p in sorted(set(problems))]
        try:
            notebook_text(chapter, layout, {})
        except SourceError as error:
            broken.append(str(error))
    return broken


def lint_pages(layout: Layout) -> list[str]:
    """Return the same for the pages beside the chapters, and for the README."""
    written = [int(path.stem[:2]) for path in layout.sources()]
    pages = [*sorted(layout.book.glob("*.md")), layout.root / "README.md"]
    return [
        f"{layout.show(page)}:{problem.line}: {problem.message}"
        for page in pages
        for problem in check_page(page, written)
    ]
