"""Executed chapters and prose pages to the web page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
import yaml

from booklib.chapter import Chapter, SourceError
from booklib.generate import table_of_contents
from booklib.leaks import find_leaks, machine_traces
from booklib.notebook import restore_prose
from booklib.paths import Layout
from booklib.staging import copy_pages, fresh_folder
from booklib.status import status_page
from booklib.system import System

__all__ = ["RenderFailed", "prepare_pages", "render"]


class RenderFailed(Exception):
    """The book did not render cleanly."""


def prepare_pages(
    layout: Layout, chapters: list[Chapter], *, partial: bool = False
) -> Path:
    """Return a folder that Sphinx can render: MyST prose, outputs, facts filled in.

    Parameters
    ----------
    layout : Layout
        The repository; executed notebooks are taken from its staging copy.
    chapters : list of Chapter
        Every chapter of the book.
    partial : bool
        Whether chapters without a run may be left out.
    """
    system = System.read(layout.book / "system.yaml")
    target = fresh_folder(layout.build / "pages")
    copy_pages(layout, target)
    runs = []
    for chapter in chapters:
        path = layout.staging / "notebooks" / f"{chapter.stem}.ipynb"
        executed = nbformat.read(path, as_version=4) if path.is_file() else None
        if executed is None or "papermill" not in executed.metadata:
            if not partial:
                raise SourceError(f"{chapter.stem} has not been run")
            continue
        restored = restore_prose(executed, chapter, layout)
        nbformat.write(restored, target / "notebooks" / path.name)
        runs.append((chapter, executed))
    toc = table_of_contents(system, {c.number: c.stem for c, _ in runs})
    (target / "_toc.yml").write_text(toc, encoding="utf-8")
    status = target / "book" / "status.md"
    status.write_text(status_page(status.read_text("utf-8"), runs), encoding="utf-8")
    _fill_in(target, layout, system)
    return target


def render(
    layout: Layout, pages: Path, environ: Mapping[str, str], *, strict: bool = True
) -> Path:
    """Run jupyter-book; return the path of the first page.

    Raises
    ------
    RenderFailed
        For a warning (when strict), an error, or a trace of this machine.
    """
    flags = ["-W", "--keep-going"] if strict else []
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(pages), "-n", *flags]
    done = subprocess.run(
        command,
        env={**environ, "RTMLOPS_BOOK_BUILD": "1"},
        cwd=pages,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    log = layout.build / "render.log"
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        lines = done.stdout.splitlines()
        shown = [x for x in lines if re.search(r"WARNING|ERROR|rror:", x)] or lines[
            -20:
        ]
        raise RenderFailed(
            "\n".join([*shown, f"the book did not render; see {layout.show(log)}"])
        )
    shutil.rmtree(layout.html, ignore_errors=True)
    shutil.move(pages / "_build" / "html", layout.html)
    leaks = find_leaks(layout.html, machine_traces(layout.root))
    if leaks:
        raise RenderFailed("\n".join(["the pages name this machine:", *leaks]))
    return layout.html / "book" / "introduction.html"


def _fill_in(target: Path, layout: Layout, system: System) -> None:
    """Give the pages their numbers and the list of chapters as substitutions."""
    facts = yaml.safe_load((layout.book / "facts.yaml").read_text(encoding="utf-8"))
    introduction = target / "book" / "introduction.md"
    text = introduction.read_text(encoding="utf-8")
    text = text.replace("<!-- chapters -->", system.chapter_list(layout))
    text = text.replace("<!-- paths -->", system.path_list(layout))
    introduction.write_text(text, encoding="utf-8")
    config_path = target / "_config.yml"
    config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
    substitutions = {key: str(value) for key, value in facts.items()}
    config["sphinx"]["config"]["myst_substitutions"] = substitutions
    config_path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
