"""MyST to Markdown that every viewer renders, one way."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from booklib.chapter import Chapter
from booklib.myst import ROLE, Directive, Prose, blocks

__all__ = ["PlainContext", "PlainError", "expand_includes", "to_plain"]

_NAMED = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.DOTALL)
_ADMONITIONS = (
    "note", "tip", "hint", "important", "warning", "caution", "danger", "seealso",
)  # fmt: skip
_INCLUDE = re.compile(r"^(`{3,}|:{3,})\{include\}\s*(\S+)\s*\n\1\s*$", re.MULTILINE)


class PlainError(Exception):
    """A construct that has no plain form; ``line`` is where it stands."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class PlainContext:
    """What a chapter's labels stand for.

    Parameters
    ----------
    number : int
        The chapter's number.
    figures : dict of str to str
        Label to number, such as ``3.2``.
    exercises : dict of str to tuple of str
        Label to number and title.
    citations : mapping of str to str
        Key to author and year, linked where there is an address.
    """

    number: int
    figures: dict[str, str] = field(default_factory=dict)
    exercises: dict[str, tuple[str, str]] = field(default_factory=dict)
    citations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, chapter: Chapter, citations: Mapping[str, str] | None = None
    ) -> PlainContext:
        """Collect labels; numbers run as they do in the rendered book."""
        context = cls(number=chapter.number, citations=citations or {})
        figures = 0
        for cell in chapter.cells:
            if cell.is_code:
                if cell.figure.get("caption"):
                    figures += 1
                    name = cell.figure.get("name", f"cell-{cell.id}")
                    context.figures[name] = f"{chapter.number}.{figures}"
                continue
            for block in blocks(cell.source):
                if not isinstance(block, Directive):
                    continue
                if block.name == "figure":
                    figures += 1
                    name = block.options.get("name", f"unnamed-{figures}")
                    context.figures[name] = f"{chapter.number}.{figures}"
                elif block.name in ("exercise", "exercise-start"):
                    label = block.options.get("label", f"unnamed-{block.line}")
                    count = len(context.exercises) + 1
                    number = f"{chapter.number}.{count}"
                    context.exercises[label] = (number, block.argument)
        return context


def expand_includes(
    source: str, folder: Path, generated: Mapping[Path, str] | None = None
) -> str:
    """Replace each ``{include}`` by the file's text.

    Parameters
    ----------
    source : str
        A markdown cell.
    folder : Path
        Where paths start: ``notebooks/``.
    generated : mapping of Path to str, optional
        Texts that win over what is on disk.

    Raises
    ------
    FileNotFoundError
        When the file is not there.
    """

    def replace(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[2]))
        text = (generated or {}).get(path)
        return (path.read_text(encoding="utf-8") if text is None else text).rstrip()

    return _INCLUDE.sub(replace, source)


def to_plain(source: str, context: PlainContext, first_line: int = 1) -> str:
    """Return a markdown cell as every viewer renders it.

    Raises
    ------
    PlainError
        For a directive or role without a plain form.
    """
    parts: list[str] = []
    for block in blocks(source, first_line):
        if isinstance(block, Prose):
            text = "\n".join(
                line
                for line in block.lines
                if not line.startswith("%") and not re.fullmatch(r"\([\w-]+\)=", line)
            )
            text = re.sub(r"^# +", f"# {context.number}. ", text)
            parts.append(_roles(text, context, block.line).strip("\n"))
        elif not block.name:
            parts.append("\n".join(block.raw))
        else:
            parts.append(_directive(block, context))
    return "\n\n".join(part for part in parts if part.strip()) or "---"


def _directive(block: Directive, context: PlainContext) -> str:
    body = "\n".join(block.body).strip("\n")
    if block.name == "admonition" or block.name in _ADMONITIONS:
        title = block.argument if block.name == "admonition" else ""
        if not title and block.argument:
            body = f"{block.argument}\n{body}".strip()
        title = title or {"seealso": "See also"}.get(
            block.name, block.name.capitalize()
        )
        inner = to_plain(body, context, block.body_line)
        title = _roles(title, context, block.line)
        return _quote(f"**{title}**\n\n{inner}")
    if block.name in ("exercise", "exercise-start"):
        label = block.options.get("label", "")
        number, title = context.exercises.get(label, ("", block.argument))
        heading = f"### Exercise {number} · {title}".rstrip(" ·")
        return _headed(heading, body, context, block.body_line)
    if block.name in ("solution", "solution-start"):
        number, title = context.exercises.get(block.argument, ("", block.argument))
        heading = f"#### Solution to exercise {number} · {title}".rstrip(" ·")
        return _headed(heading, body, context, block.body_line)
    if block.name in ("exercise-end", "solution-end"):
        return ""
    if block.name == "figure":
        number = context.figures.get(block.options.get("name", ""), "")
        image = f"![{block.options.get('alt', '')}]({block.argument})"
        caption = _roles(" ".join(body.split()), context, block.body_line)
        return f"{image}\n\n*Figure {number}. {caption}*" if caption else image
    if block.name == "image":
        return f"![{block.options.get('alt', '')}]({block.argument})"
    if block.name == "math":
        return f"$$\n{body}\n$$"
    if block.name in ("code-block", "code"):
        return f"```{block.argument}\n{body}\n```"
    if block.name == "table":
        caption = _roles(block.argument, context, block.line)
        inner = to_plain(body, context, block.body_line)
        return f"{inner}\n\n*{caption}*" if caption else inner
    raise PlainError(
        f"directive {{{block.name}}} has no plain form for the notebook; use an "
        "admonition, figure, table, math, code-block, exercise or solution",
        block.line,
    )


def _headed(heading: str, body: str, context: PlainContext, line: int) -> str:
    return f"{heading}\n\n{to_plain(body, context, line)}" if body else heading


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _roles(text: str, context: PlainContext, line: int) -> str:
    def replace(match: re.Match[str]) -> str:
        name, content = match[1], match[2]
        handler = _ROLES.get(name)
        if handler is None:
            at = line + text.count("\n", 0, match.start())
            raise PlainError(
                f"role {{{name}}} has no plain form for the notebook; known are "
                + ", ".join(sorted(_ROLES)),
                at,
            )
        named = _NAMED.match(content)
        shown, target = (named[1], named[2]) if named else ("", content)
        return handler(shown, target, context)

    return ROLE.sub(replace, text)


def _glue(shown: str, target: str, context: PlainContext) -> str:
    if "::" not in target:
        return "*(the value printed above)*"
    path = target.split("::", 1)[0].rsplit("/", 1)[-1]
    return f"*(the value printed in [chapter {int(path[:2])}]({path}))*"


def _numref(shown: str, target: str, context: PlainContext) -> str:
    number = context.figures.get(target) or context.exercises.get(target, ("", ""))[0]
    if shown:
        return shown.replace("%s", number).replace("{number}", number)
    return f"Figure {number}"


def _ref(shown: str, target: str, context: PlainContext) -> str:
    if shown:
        return shown
    if target in context.exercises:
        return f"exercise {context.exercises[target][0]}"
    if target in context.figures:
        return f"Figure {context.figures[target]}"
    return target


def _doc(shown: str, target: str, context: PlainContext) -> str:
    page = target.rsplit("/", 1)[-1]
    end = ".ipynb" if re.match(r"\d\d_", page) else ".md"
    return f"[{shown or page.replace('_', ' ')}]({target}{end})"


def _cite(shown: str, target: str, context: PlainContext) -> str:
    keys = [key.strip() for key in target.split(",")]
    return ", ".join(context.citations.get(key, key) for key in keys)


def _cite_parenthetical(shown: str, target: str, context: PlainContext) -> str:
    return f"({_cite(shown, target, context)})"


_ROLES: dict[str, Callable[[str, str, PlainContext], str]] = {
    "glue": _glue,
    "glue:text": _glue,
    "term": lambda shown, target, context: shown or target,
    "numref": _numref,
    "ref": _ref,
    "doc": _doc,
    "cite": _cite_parenthetical,
    "cite:p": _cite_parenthetical,
    "cite:t": _cite,
    "kbd": lambda shown, target, context: f"**{target}**",
    "abbr": lambda shown, target, context: shown or target,
}
