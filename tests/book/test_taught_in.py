"""'Taught in chapter NN' in a docstring is true: the chapter uses the thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from booklib.paths import ROOT, Layout

LIBRARY = ROOT / "rtmlops_lib"


def claims() -> Iterator[tuple[Path, str, int]]:
    """Return file, name and chapter of each claim of the library's docstrings."""
    for path in sorted(LIBRARY.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            for number in re.findall(
                r"Taught in chapter (\d\d)", ast.get_docstring(node) or ""
            ):
                name = path.stem if isinstance(node, ast.Module) else node.name
                yield path, name, int(number)


def test_the_library_says_where_it_is_taught() -> None:
    assert len(list(claims())) >= 4


def test_each_chapter_that_a_docstring_names_mentions_the_thing() -> None:
    sources = {
        int(path.stem[:2]): path.read_text("utf-8") for path in Layout(ROOT).sources()
    }
    wrong = [
        f"{path.relative_to(ROOT)}: {name} is said to be taught in chapter "
        f"{number:02d}, which does not mention it"
        for path, name, number in claims()
        if number in sources and not re.search(rf"\b{name}\b", sources[number])
    ]
    assert wrong == []
