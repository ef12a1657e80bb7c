"""A chapter's source to the notebook that readers open, and back to prose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from booklib.chapter import Chapter, SourceError
from booklib.paths import Layout
from booklib.plain import PlainContext, PlainError, expand_includes, to_plain

__all__ = ["notebook_text", "restore_prose"]

INJECTED = "injected-parameters"


def notebook_text(
    chapter: Chapter,
    layout: Layout,
    citations: Mapping[str, str],
    generated: Mapping[Path, str] | None = None,
) -> str:
    """Return the notebook's file: plain Markdown, no outputs, ids that are hashes.

    The same source gives the same bytes.

    Raises
    ------
    SourceError
        With file and line, where a construct has no plain form.
    """
    context = PlainContext.of(chapter, citations)
    cells = []
    caption = ""
    for cell in chapter.cells:
        if cell.is_code:
            new = nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata)
            caption = _caption(cell.figure, cell.id, context)
        else:
            try:
                text = expand_includes(cell.source, layout.notebooks, generated)
                text = to_plain(text, context, cell.line)
            except PlainError as error:
                place = f"{layout.show(chapter.path)}:{error.line}"
                raise SourceError(f"{place}: {error}") from error
            except FileNotFoundError as error:
                place = f"{layout.show(chapter.path)}:{cell.line}"
                raise SourceError(f"{place}: no file {error.filename}") from error
            # The figure stands above, as the output of the cell before.
            text = f"{caption}\n\n{text}" if caption else text
            new = nbformat.v4.new_markdown_cell(text, metadata=cell.metadata)
            caption = ""
        new.id = cell.id
        cells.append(new)
    notebook = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
    )
    notebook.nbformat_minor = 5
    nbformat.validate(notebook)
    return (
        json.dumps(_split(notebook), indent=1, ensure_ascii=False, sort_keys=True)
        + "\n"
    )


def restore_prose(
    executed: NotebookNode, chapter: Chapter, layout: Layout
) -> NotebookNode:
    """Return an executed notebook with the source's MyST prose, ready to render.

    Run times, papermill's records and the like are removed; a cell that papermill
    injected stays, and the page says that its numbers are not the published ones.

    Raises
    ------
    SourceError
        When a cell of either side is missing on the other: the notebook was made
        from another source.
    """
    wanted = {cell.id: cell for cell in chapter.cells}
    found = {cell.id for cell in executed.cells if INJECTED not in _tags(cell)}
    if found != set(wanted):
        raise SourceError(
            f"{layout.show(chapter.path)}:1: the executed notebook has "
            f"{len(found - set(wanted))} cells that the source has not, and lacks "
            f"{len(set(wanted) - found)}; run 'make notebooks', then the chapter again"
        )
    cells = []
    for cell in executed.cells:
        cell = nbformat.from_dict(dict(cell))
        if INJECTED in _tags(cell):
            cell.metadata = nbformat.from_dict({"tags": [INJECTED]})
            names = [n.strip() for n in cell.source.splitlines() if "=" in n]
            cells.append(_warning(cell.id, names))
            cells.append(cell)
            continue
        source = wanted[cell.id]
        cell.metadata = nbformat.from_dict(dict(source.metadata))
        cell.source = source.source
        if not source.is_code:
            cell.source = expand_includes(source.source, layout.notebooks)
        cells.append(cell)
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        },
    )


def _warning(cell_id: str, names: list[str]) -> NotebookNode:
    shown = "\n".join(f"- `{name}`" for name in names)
    cell = nbformat.v4.new_markdown_cell(
        "```{admonition} Run with other parameters\n:class: warning\n"
        "The numbers on this page come from a run with these parameters, not from "
        f"the published ones:\n\n{shown}\n```"
    )
    cell.id = f"{cell_id[:56]}-note"
    return cell


def _caption(figure: Mapping[str, str], cell_id: str, context: PlainContext) -> str:
    text = figure.get("caption", "")
    if not text:
        return ""
    number = context.figures[figure.get("name", f"cell-{cell_id}")]
    flat = " ".join(text.split())
    return f"*Figure {number}. {to_plain(flat, context)}*"


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _split(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with sources as lists of lines, as Jupyter saves them."""
    for cell in notebook.cells:
        cell.source = cell.source.splitlines(keepends=True)
    return notebook
