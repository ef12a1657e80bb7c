"""Chapters that are not written yet: a mention says so, of these and no others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from booklib.chapter import Chapter
from booklib.lint.problem import Problem
from booklib.myst import prose_lines

__all__ = ["check_mentions", "check_page"]

# This book's chapters have two digits; another book's stand behind its citation.
_MENTION = re.compile(r"\bchapters? (\d\d(?:(?:, | and |, and | or | to )\d\d)*)", re.I)
_SAID = re.compile(r"(?:, \*[^*]+\*)? \(in preparation\)")
_CITED = re.compile(r"\{cite[^}]*\}`[^`]*`,?\s*$")


def check_mentions(chapter: Chapter, written: Collection[int]) -> Iterator[Problem]:
    """Check the prose of a chapter."""
    for cell in chapter.cells:
        if not cell.is_code:
            yield from _check(cell.source, cell.line, written)


def check_page(page: Path, written: Collection[int]) -> Iterator[Problem]:
    """Check a page of prose."""
    yield from _check(page.read_text(encoding="utf-8"), 1, written)


def _check(source: str, first_line: int, written: Collection[int]) -> Iterator[Problem]:
    lines = list(prose_lines(source, first_line))
    for index, (line, text) in enumerate(lines):
        # A mention may go on in the next line, and its citation stand before it.
        before = " ".join(part for _, part in lines[max(0, index - 2) : index])
        after = " ".join(part.strip() for _, part in lines[index + 1 : index + 3])
        for match in _MENTION.finditer(f"{text} {after}"):
            if match.start() >= len(text):
                break
            numbers = [int(number) for number in re.findall(r"\d\d", match[1])]
            said = _SAID.match(f"{text} {after}", match.end())
            if all(number in written for number in numbers):
                if said:
                    yield Problem(
                        line,
                        f"{match[0]!r} is written: link it, not '(in preparation)'",
                    )
                continue
            if _CITED.search(f"{before} {text[: match.start()]}"):
                continue
            if not said:
                yield Problem(
                    line,
                    f"{match[0]!r} is not written yet: write '(in preparation)' "
                    "behind it",
                )
