"""Links, terms, labels and printed values: whatever points must hit something."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from booklib.chapter import Chapter
from booklib.citations import read_citations
from booklib.lint.problem import Problem
from booklib.lint.syntax import calls
from booklib.myst import ROLE, Directive, blocks, prose_lines
from booklib.paths import Layout

__all__ = ["Targets", "check_prose", "check_references"]

_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+(?:\([^()]*\))?)\)")
_NAMED = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.DOTALL)
_FILLER = re.compile(r"\b(simply|just|obviously)\b", re.IGNORECASE)
_LABEL = re.compile(r"^\(([\w-]+)\)=\s*$", re.MULTILINE)


@dataclass
class Targets:
    """Everything in the book that can be pointed at."""

    layout: Layout
    chapters: Mapping[str, Chapter]
    _texts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def terms(self) -> set[str]:
        """The glossary's terms, lower case."""
        path = self.layout.book / "glossary.md"
        found: set[str] = set()
        for block in blocks(path.read_text(encoding="utf-8") if path.is_file() else ""):
            if isinstance(block, Directive) and block.name == "glossary":
                found |= {
                    line.strip().lower()
                    for line in block.body
                    if line.strip() and not line.startswith(" ")
                }
        return found

    @cached_property
    def citations(self) -> set[str]:
        """The bibliography's keys."""
        return set(read_citations(self.layout.book / "references.bib"))

    @cached_property
    def remedies(self) -> set[str]:
        """The labels of the troubleshooting page."""
        path = self.layout.book / "troubleshooting.md"
        return set(_LABEL.findall(path.read_text("utf-8"))) if path.is_file() else set()

    @cached_property
    def labels(self) -> set[str]:
        """Every label of every page and chapter."""
        found = set(self.remedies)
        for path in self.layout.book.glob("*.md"):
            found |= set(_LABEL.findall(path.read_text(encoding="utf-8")))
        for chapter in self.chapters.values():
            found |= chapter_labels(chapter)
        return found

    @cached_property
    def glued(self) -> dict[str, set[str]]:
        """The keys that each chapter glues."""
        return {
            stem: {key for key, _ in glue_keys(chapter)}
            for stem, chapter in self.chapters.items()
        }


def chapter_labels(chapter: Chapter) -> set[str]:
    """Return what ``{ref}`` and ``{numref}`` can name in a chapter."""
    found: set[str] = set()
    for cell in chapter.cells:
        if cell.is_code:
            if name := cell.figure.get("name"):
                found.add(name)
            continue
        found |= set(_LABEL.findall(cell.source))
        for block in blocks(cell.source):
            if isinstance(block, Directive):
                for option in ("name", "label"):
                    if value := block.options.get(option):
                        found.add(value)
    return found


def glue_keys(chapter: Chapter) -> Iterator[tuple[str, int]]:
    """Return the glued keys with their lines."""
    for cell in chapter.code:
        for call in calls(cell.source, "glue"):
            if call.args and isinstance(getattr(call.args[0], "value", None), str):
                yield call.args[0].value, cell.line + call.lineno - 1  # type: ignore[attr-defined]


def check_prose(chapter: Chapter) -> Iterator[Problem]:
    """Check wording."""
    for cell in chapter.cells:
        if cell.is_code:
            continue
        for line, text in prose_lines(cell.source, cell.line):
            shown = re.sub(r"`[^`]*`", "", text)
            if match := _FILLER.search(shown):
                yield Problem(line, f"{match[0]!r} helps nobody; leave it out")


def check_references(chapter: Chapter, targets: Targets) -> Iterator[Problem]:
    """Check every link, role and glued value of a chapter."""
    seen: dict[str, int] = {}
    for key, line in glue_keys(chapter):
        if key in seen:
            yield Problem(line, f"glue key {key!r} is used twice (line {seen[key]})")
        seen[key] = line
    for cell in chapter.code:
        for call in calls(cell.source, "check"):
            for keyword in call.keywords:
                value = getattr(keyword.value, "value", None)
                if keyword.arg == "see" and value not in targets.remedies:
                    yield Problem(
                        cell.line + call.lineno - 1,
                        f"see={value!r} is no label of book/troubleshooting.md",
                    )
    for cell in chapter.cells:
        if cell.is_code:
            continue
        for block in blocks(cell.source, cell.line):
            if isinstance(block, Directive) and block.name in (
                "figure",
                "image",
                "include",
            ):
                yield from _path(block.argument, block.line, targets)
        for line, text in prose_lines(cell.source, cell.line):
            yield from _line(text, line, chapter, targets)


def _line(
    text: str, line: int, chapter: Chapter, targets: Targets
) -> Iterator[Problem]:
    for match in ROLE.finditer(text):
        named = _NAMED.match(match[2])
        target = named[2] if named else match[2]
        yield from _role(match[1], target, line, chapter, targets)
    for match in re.finditer(r"!\[\s*\]\(([^)]+)\)", text):
        yield Problem(line, f"{match[1]} lacks an alt text")
    for match in _LINK.finditer(re.sub(r"`[^`]*`", "", text)):
        yield from _path(match[1], line, targets)


def _path(target: str, line: int, targets: Targets) -> Iterator[Problem]:
    layout = targets.layout
    path, _, anchor = target.partition("#")
    if re.match(r"(https?|mailto):", target):
        return
    if not path:
        return
    if path.startswith(("/", "file:")):
        yield Problem(line, f"{target} is absolute; write it as seen from notebooks/")
    elif path.endswith(".ipynb") and "/" not in path:
        if path.removesuffix(".ipynb") not in targets.chapters:
            yield Problem(
                line,
                f"{path} is no chapter; one that is not written yet is plain text "
                "with '(in preparation)'",
            )
    elif not (layout.notebooks / path).resolve().is_file():
        yield Problem(line, f"{target} leads nowhere, as seen from notebooks/")
    elif path.endswith("troubleshooting.md") and anchor:
        if anchor not in targets.remedies:
            yield Problem(line, f"#{anchor} is no label of book/troubleshooting.md")


def _role(
    name: str, target: str, line: int, chapter: Chapter, targets: Targets
) -> Iterator[Problem]:
    if name == "term" and target.lower() not in targets.terms:
        yield Problem(line, f"{target!r} is not in book/glossary.md")
    elif name.startswith("glue"):
        if "::" in target:
            path, _, key = target.partition("::")
            stem = path.rsplit("/", 1)[-1].removesuffix(".ipynb")
            key, _, how = key.partition(":")
            if how != "s":
                yield Problem(line, f"from another page glue needs ':s': {target}:s")
            if key not in targets.glued.get(stem, set()):
                yield Problem(line, f"{stem} glues no {key!r}")
        elif target not in targets.glued[chapter.stem]:
            yield Problem(line, f"no cell glues {target!r}")
    elif name in ("numref", "ref") and target not in targets.labels:
        yield Problem(line, f"nothing is labelled {target!r}")
    elif name.startswith("cite"):
        for key in target.split(","):
            if key.strip() not in targets.citations:
                yield Problem(line, f"{key.strip()!r} is not in book/references.bib")
    elif name == "doc":
        end = ".md" if target.startswith("../book/") else ".ipynb"
        yield from _path(target + end, line, targets)
