"""Each rule of the frame finds the fault that was planted for it, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from booklib.lint import lint_book, lint_pages
from booklib.paths import ROOT, Layout

FAULTS = [
    # what is replaced, by what, and what the linter says
    ("# A chapter in small\n", "## A chapter in small\n", "begin with '# Title'"),
    (
        "You see every part that a chapter has, without any server.",
        "- a list",
        "one-line promise",
    ),
    ("- **Time**: 5 minutes\n", "", "lacks **Time**"),
    ("**Prerequisites**: Python (necessary), pandas (helpful)",
     "**Prerequisites**: Python", "necessary or helpful"),
    ("- **Running at the end**: nothing", "", "lacks **Running at the end**"),
    ("## Where we are", "## Where", "'## Where we are' must stand exactly once"),
    ("../book/figures/system-01.svg", "../book/figures/system-02.svg", "system-01.svg"),
    ("checklist-01.md", "checklist-02.md", "checklist-01.md"),
    (":tags: [parameters]", ":tags: [other]", "one cell is tagged parameters"),
    ("500  # how many events to draw", "500", "say what the parameter means"),
    ("n_events: int = 500", "n_events: int = 5 * 100", "a parameter is a literal"),
    ("n_events: int = 500", "n_events = 500", "a parameter reads"),
    ("prepare(chapter=1", "prepare(chapter=2", "prepare(chapter=2) stands in"),
    ("teaching.prepare(chapter=1, needs=())", "1", "calls teaching.prepare"),
    ("{admonition} Predict", "{admonition} Guess", "no Predict box"),
    ("# Check your result\n", "", "no cell begins with '# Check your result'"),
    ('    hint="the deviation was changed",\n', "", "check(…) lacks hint="),
    ('see="check-failed"', 'see="nowhere"', "is no label of book/troubleshooting.md"),
    ("    alt: A bell around 2.3 kW.", "    alt: ''", "lacks image.alt"),
    (
        "    caption: The same power as a histogram.\n",
        "",
        "lacks figure.caption",
    ),
    (
        ":alt: The system, with Kafka, the database and the registry lit up.\n",
        "",
        "lacks :alt:",
    ),
    (
        ":class: dropdown\n```\nIt grows",
        ":class: open\n```\nIt grows",
        "a solution has ':class: dropdown'",
    ),
    ("  outputs_hidden: true", "  outputs_hidden: false", "source_hidden: true"),
    ("# Solution\nmoved", "moved", "begins with '# Solution'"),
    (":label: ex-01-less", ":label: ex-02-less", "label it ex-01-…"),
    ("{solution-start} ex-01-less", "{solution-start} ex-01-tail", "has no solution"),
    ("## The principle", "## Principles", "'## The principle' must stand"),
    ("## Summary", "## What next", "'## Summary' must stand exactly once; found 0"),
    (":tags: [nbval-check-output]", ":tags: []", "nbval-check-output"),
    ("lab.close()", "\n".join(f"x{i} = 1" for i in range(16)), "has 16 lines"),
    ("lab.close()", f'x = "{"a" * 90}"', "the line has 96 columns"),
    ("lab.close()", "import time\ntime.sleep(1)", "no sleep"),
    ("lab.close()", "!ls", "no shell escapes"),
    ("lab.close()", "import os\nos.system('ls')", "no shell escapes"),
    ("lab.close()", "while True:\n    pass", "an endless loop"),
    ("lab.close()", "np.random.default_rng()", "without a seed"),
    ("lab.close()", "np.random.normal(3)", "is unseeded"),
    ("lab.close()", "import plotly", "no plotly"),
    ("lab.close()", "this is no python", "no valid Python"),
    ("lab.close()", "teaching.wait_until(lambda: 1)", "needs timeout="),
    (
        "```{code-cell} ipython3\nlab.close()",
        "```{code-cell} ipython3\n:tags: [raises-exception]\n\nlab.close()",
        "no raises-exception",
    ),
    ("You saw every part.", "You simply saw it.", "'simply' helps nobody"),
    ("You saw every part.", "Obviously.", "'Obviously' helps nobody"),
    ("{term}`event`", "{term}`evnt`", "is not in book/glossary.md"),
    ("{cite:t}`kreps2013log`", "{cite:t}`kreps`", "is not in book/references.bib"),
    ("{numref}`fig-power`", "{numref}`fig-pow`", "nothing is labelled 'fig-pow'"),
    ("are {glue:text}`n-far`", "are {glue:text}`far`", "no cell glues 'far'"),
    ('glue("n-far"', 'glue("n-events"', "used twice"),
    ("../book/troubleshooting.md", "../book/trouble.md", "leads nowhere"),
    (
        "02 Generate events (in preparation).",
        "[02](02_generate_events.ipynb)",
        "is no chapter",
    ),
    ("You saw every part.", "[x](/etc/passwd)", "is absolute"),
    ("You saw every part.", "![](../book/figures/system.svg)", "lacks an alt text"),
    ("You saw every part.", "{download}`x`", "role {download} has no plain form"),
    ("name: python3", "name: ir", "must name the kernel"),
    ("You saw every part.", "Chapter 05 goes on.", "'Chapter 05' is not written yet"),
    (
        "You saw every part.",
        "Chapter 01, *A chapter\nin small* (in preparation), is this one.",
        "'Chapter 01' is written",
    ),
    (
        "You saw every part.",
        "See chapters 01\nand 02, soon.",
        "'chapters 01 and 02' is not written yet",
    ),
]  # fmt: skip


def test_the_fixture_keeps_every_rule(book: Layout) -> None:
    assert lint_book(book) == []


@pytest.mark.parametrize(("old", "new", "message"), FAULTS, ids=[f[2] for f in FAULTS])
def test_a_planted_fault_is_found_with_file_and_line(
    book: Layout, edit: Callable[[str, str], None], old: str, new: str, message: str
) -> None:
    edit(old, new)
    problems = lint_book(book)
    found = [problem for problem in problems if message in problem]
    assert found, problems
    file, line, _ = found[0].split(":", 2)
    assert file == "book/chapters/01_fixture.md"
    assert 1 <= int(line) <= 300


def test_a_fault_is_reported_at_its_own_line(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit("lab.close()", "x = 1\nimport plotly")
    source = (book.chapters / "01_fixture.md").read_text().splitlines()
    line = source.index("import plotly") + 1
    assert f"book/chapters/01_fixture.md:{line}: no plotly in a chapter" in lint_book(
        book
    )


def test_prose_in_code_and_inline_code_may_say_just(
    book: Layout, edit: Callable[[str, str], None]
) -> None:
    edit("You saw every part.", "The name `just` is allowed, and adjust is a word.")
    assert lint_book(book) == []


@pytest.mark.parametrize(
    "text",
    [
        "Chapter 05 (in preparation) goes on.",
        "Chapter 05, *Train\nthe model* (in preparation), goes on.",
        "See chapters 09\nand 10 (in preparation).",
        "As chapter 01 says.",
        "Read {cite:t}`kleppmann2017designing`, chapters 10\nand 11.",
    ],
)
def test_a_chapter_to_come_may_be_mentioned_as_one(
    book: Layout, edit: Callable[[str, str], None], text: str
) -> None:
    edit("You saw every part.", text)
    assert lint_book(book) == []


def test_the_chapters_and_pages_of_this_book_keep_every_rule() -> None:
    layout = Layout(ROOT)
    assert lint_book(layout) + lint_pages(layout) == []
