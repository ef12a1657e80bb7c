"""Papermill over the chapters, in order, into the staging copy."""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from booklib.chapter import Chapter, read_chapter
from booklib.citations import read_citations
from booklib.notebook import notebook_text
from booklib.paths import Layout
from booklib.staging import copy_pages, fresh_folder

__all__ = ["Run", "UnknownParameter", "parameter_names", "run_chapters", "select"]


class UnknownParameter(Exception):
    """A parameter that no selected chapter has."""


@dataclass
class Run:
    """One chapter's run."""

    chapter: Chapter
    path: Path
    seconds: float
    error: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def select(layout: Layout, only: Sequence[str]) -> list[Chapter]:
    """Return the chapters whose number or name begins as asked; all for none."""
    chapters = [read_chapter(path) for path in layout.sources()]
    if not only:
        return chapters
    wanted = [name.zfill(2) if name.isdigit() else name for name in only]
    for name in wanted:
        if not any(chapter.stem.startswith(name) for chapter in chapters):
            raise UnknownParameter(f"no chapter is called {name}")
    return [c for c in chapters if any(c.stem.startswith(name) for name in wanted)]


def parameter_names(chapter: Chapter) -> list[str]:
    """Return the names in a chapter's parameters cell."""
    names: list[str] = []
    for cell in chapter.code:
        if "parameters" in cell.tags:
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.AnnAssign) and isinstance(
                    node.target, ast.Name
                ):
                    names.append(node.target.id)
    return names


def run_chapters(
    layout: Layout,
    chapters: Sequence[Chapter],
    environ: Mapping[str, str],
    *,
    parameters: Mapping[str, str] | None = None,
    cell_timeout: int = 300,
    keep_others: bool = False,
    say: Callable[[str], None] = print,
) -> list[Run]:
    """Execute chapters one after another; a failure does not stop the next.

    Parameters
    ----------
    layout : Layout
        Where sources lie and the staging copy goes.
    chapters : sequence of Chapter
        What to run.
    environ : mapping of str to str
        The kernels' environment.
    parameters : mapping of str to str, optional
        Values as typed on a command line; each goes to the chapters that have it.
    cell_timeout : int
        Seconds a cell may take.
    keep_others : bool
        Whether executed copies of other chapters stay.
    say : callable
        Takes each line of progress.

    Raises
    ------
    UnknownParameter
        When no selected chapter has one of the parameters.
    """
    parameters = parameters or {}
    known = {name for chapter in chapters for name in parameter_names(chapter)}
    for name in parameters:
        if name not in known:
            raise UnknownParameter(
                f"no selected chapter has a parameter {name!r}; known are "
                + (", ".join(sorted(known)) or "none")
            )
    if not keep_others:
        fresh_folder(layout.staging)
    copy_pages(layout, layout.staging)
    shutil.rmtree(layout.build / "failed", ignore_errors=True)
    citations = read_citations(layout.book / "references.bib")
    logging.getLogger("papermill").setLevel(logging.WARNING)
    runs = []
    with _environment(environ):
        for chapter in chapters:
            path = layout.staging / "notebooks" / f"{chapter.stem}.ipynb"
            text = notebook_text(chapter, layout, citations)
            path.write_text(text, encoding="utf-8")
            names = parameter_names(chapter)
            given = {
                name: yaml.safe_load(value)
                for name, value in parameters.items()
                if name in names
            }
            run = _run(chapter, path, given, cell_timeout)
            runs.append(run)
            verdict = "FAILED" if run.error else "ok"
            say(f"{chapter.stem:<32} {verdict:<7} {run.seconds:6.1f} s")
            if run.error:
                failed = layout.build / "failed"
                failed.mkdir(parents=True, exist_ok=True)
                kept = failed / path.name
                shutil.copy2(path, kept)
                say(f"{run.error}\nexecuted so far: {layout.show(kept)}")
    return runs


def _run(
    chapter: Chapter, path: Path, parameters: dict[str, Any], cell_timeout: int
) -> Run:
    started = time.monotonic()
    error = ""
    try:
        papermill.execute_notebook(
            str(path),
            str(path),
            parameters=parameters,
            kernel_name="python3",
            cwd=str(path.parent),
            execution_timeout=cell_timeout,
            start_timeout=120,
            # The kernel talks to itself about transport; cells do not.
            extra_arguments=["--log-level=50"],
            progress_bar={"leave": False} if sys.stderr.isatty() else False,
        )
    except PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    except Exception as failure:  # a dead kernel, a cell that never ended
        error = f"{type(failure).__name__}: {failure}"
    return Run(chapter, path, time.monotonic() - started, error, parameters)


@contextlib.contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
