"""A chapter's source as cells: a MyST notebook, read by jupytext."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupytext.myst import MystMetadataParsingError, myst_to_notebook

__all__ = ["Cell", "Chapter", "SourceError", "read_chapter"]

_FILE_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")


class SourceError(Exception):
    """A chapter's source cannot be read; the message says where and why."""


@dataclass(frozen=True)
class Cell:
    """One cell of a source.

    ``line`` is the 1-based line of its first source line, ``id`` a hash of type,
    source and occurrence, so that it survives a new generation unchanged.
    """

    kind: str
    source: str
    line: int
    id: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_code(self) -> bool:
        """Whether the cell runs."""
        return self.kind == "code"

    @property
    def tags(self) -> list[str]:
        """The cell's tags."""
        return list(self.metadata.get("tags", []))

    @property
    def figure(self) -> dict[str, str]:
        """``caption`` and ``name`` of the figure that the cell draws, or {}."""
        return dict(self.metadata.get("mystnb", {}).get("figure", {}))

    @property
    def image_alt(self) -> str:
        """The alt text of the picture that the cell draws."""
        return str(self.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))


@dataclass(frozen=True)
class Chapter:
    """One chapter: its number comes from its file's name."""

    path: Path
    cells: tuple[Cell, ...]
    header: dict[str, Any]

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def number(self) -> int:
        """The chapter's number."""
        return int(self.stem[:2])

    @property
    def title(self) -> str:
        """The first heading, without the number."""
        for cell in self.cells:
            if not cell.is_code and (match := re.match(r"# +(.+)", cell.source)):
                return match[1].strip()
        return self.stem

    @property
    def code(self) -> list[Cell]:
        """The cells that run."""
        return [cell for cell in self.cells if cell.is_code]


def read_chapter(path: Path) -> Chapter:
    """Read a MyST notebook.

    Raises
    ------
    SourceError
        With file and line, where it cannot be read.
    """
    if not _FILE_NAME.fullmatch(path.stem):
        raise SourceError(
            f"{path.name}:1: a chapter's file is called NN_some_name.md "
            "(two digits, lower-case letters, digits and _)"
        )
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise SourceError(f"{path.name}:1: {error}") from error
    starts = notebook.metadata.pop("source_map")
    seen: Counter[tuple[str, str]] = Counter()
    cells = []
    for cell, start in zip(notebook.cells, starts, strict=True):
        key = (cell.cell_type, cell.source)
        cells.append(
            Cell(
                kind=cell.cell_type,
                source=cell.source,
                line=_first_line(lines, cell.source, start),
                id=_cell_id(*key, seen[key]),
                metadata=dict(cell.metadata),
            )
        )
        seen[key] += 1
    return Chapter(path=path, cells=tuple(cells), header=dict(notebook.metadata))


def _cell_id(kind: str, source: str, occurrence: int) -> str:
    digest = hashlib.sha256(f"{kind}\0{source}\0{occurrence}".encode())
    return digest.hexdigest()[:16]


def _first_line(lines: list[str], source: str, start: int) -> int:
    first = source.split("\n", 1)[0]
    for index in range(start, len(lines)):
        if lines[index] == first:
            return index + 1
    return start + 1
