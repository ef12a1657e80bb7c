"""Every file of the repository that is generated from the book's sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from booklib.chapter import read_chapter
from booklib.citations import read_citations
from booklib.diagram import draw
from booklib.notebook import notebook_text
from booklib.paths import Layout
from booklib.system import System

__all__ = ["generated_files", "stale_files", "table_of_contents", "write_files"]

_BEFORE = ["how_to_use", "architecture"]
_AFTER = [
    "operations",
    "glossary",
    "troubleshooting",
    "references",
    "status",
    "changelog",
]


def generated_files(layout: Layout) -> dict[Path, str]:
    """Return each generated file's path and text.

    Raises
    ------
    SourceError
        Where a chapter cannot be read or has no plain form.
    """
    system = System.read(layout.book / "system.yaml")
    citations = read_citations(layout.book / "references.bib")
    files = {
        layout.root / "_toc.yml": table_of_contents(system, system.written(layout))
    }
    files[layout.figures / "system.svg"] = draw(system)
    for chapter in system.chapters:
        number = chapter.number
        files[layout.figures / f"system-{number:02d}.svg"] = draw(system, number)
        checklist = system.checklist_text(number, layout)
        files[layout.figures / f"checklist-{number:02d}.md"] = checklist
    for source in layout.sources():
        chapter = read_chapter(source)
        target = layout.notebooks / f"{chapter.stem}.ipynb"
        files[target] = notebook_text(chapter, layout, citations, files)
    return files


def stale_files(layout: Layout) -> list[str]:
    """Return what differs from its source, and notebooks without one."""
    expected = generated_files(layout)
    problems = []
    for path, text in expected.items():
        if not path.is_file():
            problems.append(f"{layout.show(path)} is missing")
        elif path.read_text(encoding="utf-8") != text:
            problems.append(f"{layout.show(path)} differs from its source")
    problems += [
        f"{layout.show(path)} has no source in book/chapters"
        for path in sorted(layout.notebooks.glob("*.ipynb"))
        if path not in expected
    ]
    return problems


def write_files(layout: Layout) -> list[Path]:
    """Write what changed, remove notebooks without a source; return the paths."""
    changed = []
    expected = generated_files(layout)
    for path, text in expected.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        changed.append(path)
    for path in layout.notebooks.glob("*.ipynb"):
        if path not in expected:
            path.unlink()
            changed.append(path)
    return changed


def table_of_contents(system: System, written: Mapping[int, str]) -> str:
    """Return ``_toc.yml``: the pages, and the chapters in ``written``.

    Parameters
    ----------
    system : System
        The plan.
    written : mapping of int to str
        Number and file stem of each chapter to list.
    """
    lines = [
        "# Generated from book/system.yaml and the chapters that exist:",
        "# 'make notebooks' writes it.",
        "format: jb-book",
        "root: book/introduction",
        "parts:",
        "  - caption: Before you start",
        "    chapters:",
        *(f"      - file: book/{page}" for page in _BEFORE),
    ]
    part = ""
    for chapter in system.chapters:
        if chapter.number not in written:
            continue
        if chapter.part != part:
            part = chapter.part
            lines += [f"  - caption: {part}", "    numbered: 1", "    chapters:"]
        lines.append(f"      - file: notebooks/{written[chapter.number]}")
    lines += ["  - caption: Reference", "    chapters:"]
    lines += [f"      - file: book/{page}" for page in _AFTER]
    return "\n".join(lines) + "\n"
