"""Code cells: short, seeded, bounded in time, and never able to fail unseen."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from booklib.chapter import Cell, Chapter
from booklib.lint.problem import Problem
from booklib.lint.syntax import parse_cell

__all__ = ["check_code"]

_MAX_LINES = 15
_MAX_COLUMNS = 88
_SHELL = re.compile(r"^\s*!|=\s*!|^%%(?:bash|sh|script|system)|^%(?:system|sx)\b")
_LEGACY_RANDOM = re.compile(r"\bnp\.random\.(?!default_rng|Generator|SeedSequence)\w+")


def check_code(chapter: Chapter) -> Iterator[Problem]:
    """Check each code cell by itself."""
    for cell in chapter.code:
        yield from _text(cell)
        tree = parse_cell(cell.source)
        if tree is None:
            yield Problem(cell.line, "the cell is no valid Python")
        else:
            yield from _syntax(cell, tree)


def _text(cell: Cell) -> Iterator[Problem]:
    lines = cell.source.split("\n")
    if len(lines) > _MAX_LINES:
        yield Problem(
            cell.line,
            f"the cell has {len(lines)} lines; over {_MAX_LINES} belong into the "
            "library, with a test",
        )
    if "raises-exception" in cell.tags:
        yield Problem(
            cell.line,
            "no raises-exception: papermill stops there; use try/except and print",
        )
    for index, line in enumerate(lines):
        at = cell.line + index
        if len(line) > _MAX_COLUMNS:
            yield Problem(at, f"the line has {len(line)} columns; at most 88")
        if _SHELL.search(line):
            yield Problem(at, "no shell escapes: their failures pass unseen")
        if match := _LEGACY_RANDOM.search(line):
            yield Problem(
                at, f"{match[0]} is unseeded; use np.random.default_rng(seed)"
            )


def _syntax(cell: Cell, tree: ast.Module) -> Iterator[Problem]:
    for node in ast.walk(tree):
        if not hasattr(node, "lineno"):
            continue
        at = cell.line + node.lineno - 1
        if isinstance(node, ast.While) and (
            isinstance(node.test, ast.Constant) and node.test.value
        ):
            yield Problem(at, "an endless loop; give it a deadline and a count")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            for name in sorted(names & {"random", "plotly", "subprocess"}):
                yield Problem(at, f"no {name} in a chapter")
        if isinstance(node, ast.Call):
            called = node.func
            name = getattr(called, "attr", getattr(called, "id", ""))
            if name == "sleep":
                yield Problem(at, "no sleep; wait_until(condition, timeout=…)")
            if name == "system":
                yield Problem(at, "no shell escapes: their failures pass unseen")
            if name == "default_rng" and not (node.args or node.keywords):
                yield Problem(at, "default_rng() without a seed")
            if name == "wait_until" and not any(
                keyword.arg == "timeout" for keyword in node.keywords
            ):
                yield Problem(at, "wait_until(…) needs timeout=…")
