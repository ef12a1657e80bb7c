"""Cells as Python syntax; magics are blanked out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["calls", "parse_cell"]


def parse_cell(source: str) -> ast.Module | None:
    """Return the cell's syntax tree, None where it is no Python."""
    lines = [
        "pass" if line.startswith(("%", "!", "?")) else line
        for line in source.split("\n")
    ]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return None


def calls(source: str, name: str) -> Iterator[ast.Call]:
    """Return the calls of a function or method of that name."""
    tree = parse_cell(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                found = called.attr
            else:
                found = getattr(called, "id", "")
            if found == name:
                yield node
