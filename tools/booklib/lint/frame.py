"""The frame: what stands in a chapter, and in which order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from booklib.chapter import Cell, Chapter
from booklib.lint.problem import Problem
from booklib.lint.syntax import calls, parse_cell
from booklib.myst import Directive, blocks, prose_lines

__all__ = ["check_frame"]

_FIRST = "Where we are"
_LAST = [
    "Exercises",
    "The principle",
    "In production",
    "When not to do this",
    "Summary",
    "What next",
    "Clean up",
    "Sources",
    "State of the system",
]
_OPENING = ["**Time**", "**Prerequisites**", "**Running at the end**"]


def check_frame(chapter: Chapter) -> Iterator[Problem]:
    """Check title, headings, parameters, preparation and exercises."""
    yield from _opening(chapter)
    yield from _headings(chapter)
    yield from _generated_parts(chapter)
    yield from _parameters(chapter)
    yield from _preparation(chapter)
    yield from _boxes(chapter)
    yield from _figures(chapter)
    yield from _exercises(chapter)
    if not any("nbval-check-output" in cell.tags for cell in chapter.code):
        yield Problem(
            1,
            "no cell is tagged nbval-check-output; tag at least one whose output "
            "is the same every time",
        )


def _opening(chapter: Chapter) -> Iterator[Problem]:
    kernel = chapter.header.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield Problem(1, "the header must name the kernel: kernelspec: name: python3")
    first = chapter.cells[0] if chapter.cells else None
    if first is None or first.is_code or not first.source.startswith("# "):
        yield Problem(1, "the chapter must begin with '# Title'")
        return
    paragraphs = [p for p in first.source.split("\n\n") if p.strip()]
    promise = paragraphs[1].strip() if len(paragraphs) > 1 else ""
    if not promise or re.match(r"[-*#|`:>{(]", promise):
        yield Problem(first.line, "after the title comes a one-line promise")
    elif len(promise.split()) > 40:
        yield Problem(
            first.line,
            f"the promise has {len(promise.split())} words; 40 are a lot",
        )
    opening = first.source.split("\n## ")[0]
    for label in _OPENING:
        if label not in opening:
            yield Problem(first.line, f"the opening lacks {label}")
    if "**Prerequisites**" in opening and not re.search(
        r"necessary|helpful", opening.split("**Prerequisites**")[1]
    ):
        yield Problem(
            first.line, "each prerequisite says whether it is necessary or helpful"
        )


def _headings(chapter: Chapter) -> Iterator[Problem]:
    found: list[tuple[int, str]] = []
    titles = 0
    for cell in chapter.cells:
        if cell.is_code:
            continue
        for line, text in prose_lines(cell.source, cell.line):
            if match := re.match(r"## +(.+?)\s*$", text):
                found.append((line, match[1]))
            elif text.startswith("# "):
                titles += 1
                if titles > 1:
                    yield Problem(line, "a chapter has one title (# …)")
    names = [name for _, name in found]
    for name in [_FIRST, *_LAST]:
        if names.count(name) != 1:
            yield Problem(
                1, f"'## {name}' must stand exactly once; found {names.count(name)}"
            )
    if names and names[0] != _FIRST:
        yield Problem(found[0][0], f"the first section is '## {_FIRST}'")
    places = [names.index(name) for name in _LAST if name in names]
    for before, after in zip(places, places[1:], strict=False):
        if after < before:
            yield Problem(
                found[after][0],
                f"'## {names[after]}' stands before '## {names[before]}'; the order "
                f"is {', '.join(_LAST)}",
            )
    if names and places and places[-1] != len(names) - 1 and names[-1] != _LAST[-1]:
        yield Problem(found[-1][0], f"the last section is '## {_LAST[-1]}'")


def _generated_parts(chapter: Chapter) -> Iterator[Problem]:
    text = "\n".join(cell.source for cell in chapter.cells if not cell.is_code)
    number = f"{chapter.number:02d}"
    if f"../book/figures/system-{number}.svg" not in text:
        yield Problem(
            1, f"'## {_FIRST}' shows the figure ../book/figures/system-{number}.svg"
        )
    if not re.search(
        r"\{include\}\s*\.\./book/figures/checklist-" + number + r"\.md", text
    ):
        yield Problem(
            1,
            f"'## State of the system' includes ../book/figures/checklist-{number}.md",
        )


def _parameters(chapter: Chapter) -> Iterator[Problem]:
    tagged = [cell for cell in chapter.code if "parameters" in cell.tags]
    if len(tagged) != 1:
        yield Problem(1, f"one cell is tagged parameters; found {len(tagged)}")
        return
    cell = tagged[0]
    if chapter.code[0] is not cell:
        yield Problem(cell.line, "the parameters cell is the first code cell")
    tree = parse_cell(cell.source)
    lines = cell.source.split("\n")
    for statement in tree.body if tree else []:
        line = lines[statement.lineno - 1]
        at = cell.line + statement.lineno - 1
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            yield Problem(
                at, f"a parameter reads 'name: int = 20  # meaning', got {line!r}"
            )
            continue
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            yield Problem(at, f"a parameter is a literal, got {line!r}")
        if statement.lineno != statement.end_lineno or ";" in line.split("#")[0]:
            yield Problem(at, "one parameter a line")
        if not re.search(r"#\s*\S", line):
            yield Problem(at, f"say what the parameter means: {line!r}  # …")


def _preparation(chapter: Chapter) -> Iterator[Problem]:
    others = [cell for cell in chapter.code if "parameters" not in cell.tags]
    if not others:
        yield Problem(1, "the chapter has no code")
        return
    for call in calls(others[0].source, "prepare"):
        for keyword in call.keywords:
            if keyword.arg == "chapter":
                value = getattr(keyword.value, "value", None)
                if value == chapter.number:
                    return
                yield Problem(
                    others[0].line,
                    f"prepare(chapter={value}) stands in chapter {chapter.number}",
                )
                return
    yield Problem(
        others[0].line,
        "the first cell after the parameters calls "
        f"teaching.prepare(chapter={chapter.number})",
    )


def _boxes(chapter: Chapter) -> Iterator[Problem]:
    predictions = 0
    for index, cell in enumerate(chapter.cells):
        if cell.is_code:
            continue
        for block in blocks(cell.source, cell.line):
            if (
                isinstance(block, Directive)
                and block.name == "admonition"
                and block.argument == "Predict"
            ):
                predictions += 1
                if not any(later.is_code for later in chapter.cells[index + 1 :]):
                    yield Problem(block.line, "no cell answers this Predict box")
    if not predictions:
        yield Problem(1, "no Predict box: ```{admonition} Predict")
    checks = 0
    for cell in chapter.code:
        if not cell.source.startswith("# Check your result"):
            continue
        checks += 1
        found = list(calls(cell.source, "check"))
        if not found:
            yield Problem(cell.line, "a 'Check your result' cell calls check(…)")
        for call in found:
            given = {keyword.arg for keyword in call.keywords}
            for name in ("ok", "hint", "see"):
                if name not in given:
                    yield Problem(
                        cell.line + call.lineno - 1, f"check(…) lacks {name}=…"
                    )
    if not checks:
        yield Problem(1, "no cell begins with '# Check your result'")


def _figures(chapter: Chapter) -> Iterator[Problem]:
    count = 0
    for cell in chapter.cells:
        if cell.is_code:
            if "mystnb" not in cell.metadata:
                continue
            missing = [
                name
                for name, value in (
                    ("figure.caption", cell.figure.get("caption")),
                    ("figure.name", cell.figure.get("name")),
                    ("image.alt", cell.image_alt),
                )
                if not value
            ]
            if missing:
                yield Problem(cell.line, f"the figure lacks {', '.join(missing)}")
            count += 1
            continue
        for block in blocks(cell.source, cell.line):
            if not isinstance(block, Directive) or block.name not in (
                "figure",
                "image",
            ):
                continue
            if not block.options.get("alt"):
                yield Problem(block.line, f"{block.argument} lacks :alt:")
            if block.name == "figure" and not "".join(block.body).strip():
                yield Problem(block.line, f"{block.argument} lacks a caption")
            if "/system-" not in block.argument:
                count += 1
    if count < 2:
        yield Problem(
            1, f"{count} figures teach something beside the diagram; two are needed"
        )


def _exercises(chapter: Chapter) -> Iterator[Problem]:
    exercises: dict[str, int] = {}
    solutions: dict[str, int] = {}
    inside: str | None = None
    opened: list[tuple[str, int]] = []
    for cell in chapter.cells:
        if cell.is_code:
            if inside == "solution":
                yield from _solution_cell(cell)
            continue
        for block in blocks(cell.source, cell.line):
            if not isinstance(block, Directive):
                continue
            kind, _, end = block.name.partition("-")
            if kind not in ("exercise", "solution") or end not in ("start", "end"):
                continue
            if end == "end":
                if not opened or opened[-1][0] != kind:
                    yield Problem(block.line, f"{block.name} closes nothing")
                else:
                    opened.pop()
                inside = None
                continue
            if opened:
                yield Problem(
                    block.line, f"{block.name} opens inside {opened[-1][0]}-start"
                )
            opened.append((kind, block.line))
            inside = kind
            if kind == "exercise":
                label = block.options.get("label", "")
                if not re.fullmatch(rf"ex-{chapter.number:02d}-[\w-]+", label):
                    yield Problem(
                        block.line, f"label it ex-{chapter.number:02d}-…, got {label!r}"
                    )
                exercises[label] = block.line
            else:
                solutions[block.argument] = block.line
                if "dropdown" not in block.options.get("class", ""):
                    yield Problem(block.line, "a solution has ':class: dropdown'")
    for kind, line in opened:
        yield Problem(line, f"{kind}-start is never closed")
    for label, line in exercises.items():
        if label not in solutions:
            yield Problem(line, f"exercise {label} has no solution")
    for label, line in solutions.items():
        if label not in exercises:
            yield Problem(line, f"solution to {label!r}, which is no exercise here")
    if len(exercises) < 2:
        yield Problem(1, f"{len(exercises)} exercises; two are needed")


def _solution_cell(cell: Cell) -> Iterator[Problem]:
    jupyter = cell.metadata.get("jupyter", {})
    if not (jupyter.get("source_hidden") and jupyter.get("outputs_hidden")):
        yield Problem(
            cell.line,
            "a solution's cell carries jupyter: "
            "{source_hidden: true, outputs_hidden: true}",
        )
    if not cell.source.startswith("# Solution"):
        yield Problem(cell.line, "a solution's cell begins with '# Solution'")
