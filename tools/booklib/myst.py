"""The blocks of a MyST text: directives with their options and bodies, and prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

__all__ = ["ROLE", "Directive", "Prose", "blocks", "prose_lines"]

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\})?\s*(.*)$")
ROLE = re.compile(r"\{([a-z][\w:-]*)\}`([^`]+)`")


@dataclass
class Directive:
    """A fenced block with a directive's name, or a code block (``name`` empty)."""

    name: str
    argument: str
    options: dict[str, str]
    body: list[str]
    line: int
    body_line: int
    raw: list[str] = field(default_factory=list)


@dataclass
class Prose:
    """Lines between fences."""

    lines: list[str]
    line: int


def blocks(text: str, first_line: int = 1) -> Iterator[Directive | Prose]:
    """Split a text at its fences; a fence ends at one as long, of the same kind."""
    lines = text.split("\n")
    prose: list[str] = []
    start = 0
    index = 0
    while index < len(lines):
        match = _FENCE.match(lines[index])
        end = _closing(lines, index, match[2]) if match else None
        if match is None or end is None:
            if not prose:
                start = index
            prose.append(lines[index])
            index += 1
            continue
        if prose:
            yield Prose(prose, first_line + start)
            prose = []
        inner = lines[index + 1 : end]
        name = match[3] or ""
        options, skipped = _options(inner) if name else ({}, 0)
        yield Directive(
            name=name,
            argument=match[4].strip(),
            options=options,
            body=inner[skipped:],
            line=first_line + index,
            body_line=first_line + index + 1 + skipped,
            raw=lines[index : end + 1],
        )
        index = end + 1
    if prose:
        yield Prose(prose, first_line + start)


def prose_lines(text: str, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """Return the numbered lines that a reader reads as prose, directives' included."""
    for block in blocks(text, first_line):
        if isinstance(block, Prose):
            for offset, line in enumerate(block.lines):
                if not line.startswith("%"):
                    yield block.line + offset, line
        elif block.name and block.name not in ("code-block", "code", "math"):
            yield block.line, block.argument
            yield from prose_lines("\n".join(block.body), block.body_line)


def _closing(lines: list[str], start: int, fence: str) -> int | None:
    closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    for index in range(start + 1, len(lines)):
        if closing.match(lines[index]):
            return index
    return None


def _options(lines: list[str]) -> tuple[dict[str, str], int]:
    if lines and lines[0].startswith("---"):
        for index in range(1, len(lines)):
            if lines[index].startswith("---"):
                loaded = yaml.safe_load("\n".join(lines[1:index])) or {}
                return {str(k): str(v) for k, v in loaded.items()}, index + 1
    options = {}
    index = 0
    while index < len(lines) and (m := re.match(r":([\w-]+):\s*(.*)$", lines[index])):
        options[m[1]] = m[2].strip()
        index += 1
    if index < len(lines) and not lines[index].strip():
        index += 1
    return options, index
