"""Run, compare, restore, render: the whole pipeline on the small book."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from booklib.comparison import compare_runs
from booklib.execution import UnknownParameter, run_chapters, select
from booklib.generate import write_files
from booklib.leaks import find_leaks, machine_traces
from booklib.paths import ROOT, Layout
from booklib.render import RenderFailed, prepare_pages, render
from booklib.stack import clean_environment

from tests.book.small_book import small_book

pytestmark = [pytest.mark.book, pytest.mark.slow]


@dataclass
class Built:
    layout: Layout
    executed: Path
    lines: list[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The small book, run and rendered once."""
    layout = small_book(tmp_path_factory.mktemp("book"))
    write_files(layout)
    lines: list[str] = []
    environ = clean_environment(layout)
    runs = run_chapters(layout, select(layout, []), environ, say=lines.append)
    assert runs[0].error == ""
    render(layout, prepare_pages(layout, select(layout, [])), environ)
    return Built(layout, runs[0].path, lines)


def page(built: Built, name: str) -> str:
    return (built.layout.html / name).read_text(encoding="utf-8")


def test_the_page_shows_what_the_run_printed(built: Built) -> None:
    text = page(built, "notebooks/01_fixture.html")
    assert re.search(r"There are (<[^>]+>)+14 events(</[^>]+>)+\.", text)
    assert "✓ few events are far from the mean" in text
    assert 'alt="A bell around 2.3 kW."' in text
    assert "Exercise 1.1" in text


def test_the_status_page_has_the_run(built: Built) -> None:
    text = page(built, "book/status.html")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", text)
    assert "as published" in text


def test_each_page_links_to_its_source(built: Built) -> None:
    chapter = page(built, "notebooks/01_fixture.html")
    assert "/blob/main/book/chapters/01_fixture.md" in chapter
    assert "/blob/main/book/glossary.md" in page(built, "book/glossary.html")


def test_chapters_in_preparation_are_plain_text(built: Built) -> None:
    text = page(built, "book/introduction.html")
    assert "02 Generate events (in preparation)" in text
    assert "<!-- chapters -->" not in text


def test_no_page_names_the_machine_that_built_it(built: Built) -> None:
    traces = machine_traces(built.layout.root)
    assert find_leaks(built.layout.html, [*traces, str(ROOT)]) == []


def test_a_planted_trace_is_found(built: Built, tmp_path: Path) -> None:
    traces = machine_traces(built.layout.root)
    for number, trace in enumerate(traces):
        (tmp_path / f"{number}.html").write_text(f"<p>{trace}/x</p>")
    assert len({x.split(":")[0] for x in find_leaks(tmp_path, traces)}) == len(traces)


def test_a_second_run_is_equal(built: Built) -> None:
    environ = clean_environment(built.layout)
    assert compare_runs([built.executed], environ) == 0


def test_a_planted_difference_between_runs_fails(built: Built, tmp_path: Path) -> None:
    notebook = nbformat.read(built.executed, as_version=4)
    for cell in notebook.cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            printed = [o for o in cell.outputs if o.output_type == "stream"]
            assert "14 events" in printed[-1].text
            printed[-1].text = printed[-1].text.replace("14 events", "15 events")
    changed = tmp_path / "01_fixture.ipynb"
    nbformat.write(notebook, changed)
    assert compare_runs([changed], clean_environment(built.layout)) != 0


def test_a_missing_label_is_a_red_build(built: Built, tmp_path: Path) -> None:
    layout = small_book(tmp_path)
    shutil.copytree(built.layout.staging, layout.staging)
    (layout.book / "status.md").write_text("# Status\n\n{ref}`nowhere`\n")
    pages = prepare_pages(layout, select(layout, []))
    with pytest.raises(RenderFailed, match="nowhere"):
        render(layout, pages, clean_environment(layout))


def test_what_a_cell_writes_to_standard_error_is_a_red_build(
    built: Built, tmp_path: Path
) -> None:
    layout = small_book(tmp_path)
    shutil.copytree(built.layout.staging, layout.staging)
    path = layout.staging / "notebooks" / "01_fixture.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.cell_type == "code" and c.outputs)
    cell.outputs.append(
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning: mind\n")
    )
    nbformat.write(notebook, path)
    pages = prepare_pages(layout, select(layout, []))
    with pytest.raises(RenderFailed, match="stderr"):
        render(layout, pages, clean_environment(layout))


def test_other_parameters_are_visible_on_the_page(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    chapters = select(book, ["01"])
    runs = run_chapters(
        book,
        chapters,
        clean_environment(book),
        parameters={"n_events": "400"},
        say=lambda _: None,
    )
    assert runs[0].parameters == {"n_events": 400}
    pages = prepare_pages(book, chapters)
    text = (pages / "notebooks" / "01_fixture.ipynb").read_text()
    assert "Run with other parameters" in text
    assert "n_events = 400" in text
    assert "`n_events=400`" in (pages / "book" / "status.md").read_text()


def test_an_unknown_parameter_is_refused(book: Layout) -> None:
    with pytest.raises(
        UnknownParameter, match="'servers'; known are mean_kw, n_events"
    ):
        run_chapters(book, select(book, []), {}, parameters={"servers": "3"})


def test_a_red_chapter_is_kept_and_told(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit("far.sum() < 0.1 * n_events", "far.sum() > n_events")
    lines: list[str] = []
    runs = run_chapters(
        book, select(book, []), clean_environment(book), say=lines.append
    )
    assert "LessonStopped" in runs[0].error
    assert "likely cause: the deviation was changed" in runs[0].error
    assert (book.build / "failed" / "01_fixture.ipynb").is_file()
    assert "FAILED" in lines[0]


def test_a_cell_that_never_ends_is_stopped(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit("lab.close()", "import itertools\nfor _ in itertools.count():\n    pass")
    runs = run_chapters(
        book,
        select(book, []),
        clean_environment(book),
        cell_timeout=8,
        say=lambda _: None,
    )
    assert "imeout" in runs[0].error


def test_a_bare_build_says_what_to_use(built: Built, tmp_path: Path) -> None:
    layout = small_book(tmp_path)
    write_files(layout)
    environ = {k: v for k, v in os.environ.items() if k != "RTMLOPS_BOOK_BUILD"}
    program = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run(
        [str(program), "build", str(layout.root)],
        capture_output=True,
        text=True,
        env=environ,
        timeout=120,
    )
    assert done.returncode != 0
    assert "use 'make book'" in done.stdout + done.stderr


def test_a_run_sees_nobodys_servers_but_the_local_ones(book: Layout) -> None:
    cleaned = clean_environment(
        book,
        {
            "DATABASE_URL": "postgresql://somebody/prod",
            "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": "prod:9092",
            "RTMLOPS_STACK_KAFKA_PORT": "19999",
            "PATH": "/bin",
        },
    )
    assert "DATABASE_URL" not in cleaned
    assert "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS" not in cleaned
    assert cleaned["RTMLOPS_STACK_KAFKA_PORT"] == "19999"
    assert cleaned["RTMLOPS_ENV_FILE"] == ""
    assert cleaned["PATH"] == "/bin"
