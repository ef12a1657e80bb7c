"""notebooks/ is made from book/chapters, one way, byte by byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import nbformat
import pytest
from booklib.chapter import SourceError, read_chapter
from booklib.generate import generated_files, stale_files, write_files
from booklib.notebook import notebook_text, restore_prose
from booklib.paths import ROOT, Layout
from booklib.plain import PlainContext, to_plain
from booklib.system import System

CONTEXT = PlainContext(
    number=3,
    figures={"fig-lag": "3.1"},
    exercises={"ex-03-x": ("3.1", "Count")},
    citations={"kreps2013log": "[Kreps 2013](https://example.org)"},
)


def text_of(book: Layout) -> str:
    chapter = read_chapter(book.chapters / "01_fixture.md")
    return notebook_text(chapter, book, {"kreps2013log": "Kreps 2013"})


def test_what_is_committed_is_in_step_with_its_sources() -> None:
    assert stale_files(Layout(ROOT)) == []


def test_the_check_runs_as_a_command() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_notebooks.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_second_generation_gives_the_same_bytes(book: Layout) -> None:
    assert text_of(book) == text_of(book)
    assert write_files(book)
    assert write_files(book) == []


def test_a_changed_source_is_noticed(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    write_files(book)
    assert stale_files(book) == []
    edit("You saw every part.", "You saw it all.")
    assert stale_files(book) == ["notebooks/01_fixture.ipynb differs from its source"]


def test_a_notebook_without_source_is_noticed_and_removed(book: Layout) -> None:
    write_files(book)
    (book.notebooks / "02_old.ipynb").write_text("{}")
    assert stale_files(book) == [
        "notebooks/02_old.ipynb has no source in book/chapters"
    ]
    write_files(book)
    assert not (book.notebooks / "02_old.ipynb").exists()


def test_equal_cells_get_different_ids_and_an_edit_changes_one(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit(
        "lab.close()\n```",
        "lab.close()\n```\n\n```{code-cell} ipython3\nlab.close()\n```",
    )
    path = book.chapters / "01_fixture.md"
    before = [cell.id for cell in read_chapter(path).cells]
    assert len(set(before)) == len(before)
    edit("You saw every part.", "You saw it all.")
    after = [cell.id for cell in read_chapter(path).cells]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_a_notebook_has_no_outputs_and_no_directives(book: Layout) -> None:
    notebook = nbformat.reads(text_of(book), as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        else:
            assert "{" not in cell.source.replace("{data", ""), cell.source
            assert ":::" not in cell.source


def test_a_notebook_names_nothing_of_the_machine(book: Layout) -> None:
    text = text_of(book)
    assert str(book.root) not in text
    metadata = json.loads(text)["metadata"]
    assert set(metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("# Title", "# 3. Title"),
        ("An {term}`event` here", "An event here"),
        ("{term}`Events <event>` here", "Events here"),
        ("see {numref}`fig-lag`", "see Figure 3.1"),
        ("see {numref}`picture %s <fig-lag>`", "see picture 3.1"),
        ("see {ref}`ex-03-x`", "see exercise 3.1"),
        ("{glue:text}`rate` a second", "*(the value printed above)* a second"),
        (
            "{glue:text}`../notebooks/02_x.ipynb::rate:s`",
            "*(the value printed in [chapter 2](02_x.ipynb))*",
        ),
        ("{doc}`../book/glossary`", "[glossary](../book/glossary.md)"),
        ("{cite:t}`kreps2013log`", "[Kreps 2013](https://example.org)"),
        (
            "```{admonition} Predict\n:class: tip\nHow many?\n\nWhy?\n```",
            "> **Predict**\n>\n> How many?\n>\n> Why?",
        ),
        ("```{note}\nMind.\n```", "> **Note**\n>\n> Mind."),
        (":::{warning}\nMind.\n:::", "> **Warning**\n>\n> Mind."),
        (
            "```{figure} ../a.svg\n:name: fig-lag\n:alt: A line.\n\nThe lag.\n```",
            "![A line.](../a.svg)\n\n*Figure 3.1. The lag.*",
        ),
        (
            "```{exercise-start} Count\n:label: ex-03-x\n```\nDo.\n"
            "```{exercise-end}\n```",
            "### Exercise 3.1 · Count\n\nDo.",
        ),
        (
            "```{solution-start} ex-03-x\n:class: dropdown\n```\nSo.",
            "#### Solution to exercise 3.1 · Count\n\nSo.",
        ),
        ("```{solution-end}\n```", "---"),
        ("(label)=\n## Heading\n% a comment", "## Heading"),
        ("```python\n{term}`x`\n```", "```python\n{term}`x`\n```"),
        ("````{note}\n```py\nx\n```\n````", "> **Note**\n>\n> ```py\n> x\n> ```"),
    ],
)  # fmt: skip
def test_myst_becomes_markdown_that_every_viewer_renders(
    source: str, plain: str
) -> None:
    assert to_plain(source, CONTEXT) == plain


def test_a_directive_without_plain_form_is_refused_at_its_line(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit("You saw every part.", "```{mermaid}\na --> b\n```")
    source = (book.chapters / "01_fixture.md").read_text().splitlines()
    line = source.index("```{mermaid}") + 1
    with pytest.raises(SourceError, match=rf"01_fixture.md:{line}: directive"):
        generated_files(book)


def test_prose_is_restored_by_cell_id(book: Layout) -> None:
    chapter = read_chapter(book.chapters / "01_fixture.md")
    executed = nbformat.reads(text_of(book), as_version=4)
    executed.cells[0].metadata["papermill"] = {"duration": 1}
    restored = restore_prose(executed, chapter, book)
    assert [c.id for c in restored.cells] == [c.id for c in chapter.cells]
    for cell, source in zip(restored.cells, chapter.cells, strict=True):
        assert "papermill" not in cell.metadata
        if "{include}" not in source.source:
            assert cell.source == source.source
    assert "papermill" not in restored.metadata


def test_a_checklist_ticks_only_what_a_written_chapter_has_built(book: Layout) -> None:
    system = System.read(book.book / "system.yaml")
    first, second, *_ = system.checklist_text(2, book).splitlines()
    assert first.startswith("- [x] ")
    assert second.startswith("- [ ] ")
    assert "(in preparation) **← you are here**" in second


def test_a_missing_cell_is_an_error(book: Layout) -> None:
    chapter = read_chapter(book.chapters / "01_fixture.md")
    executed = nbformat.reads(text_of(book), as_version=4)
    del executed.cells[3]
    with pytest.raises(SourceError, match="lacks 1"):
        restore_prose(executed, chapter, book)
