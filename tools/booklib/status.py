"""The status page: when, how long and with what each chapter last ran."""

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from nbformat import NotebookNode

from booklib.chapter import Chapter

__all__ = ["status_page"]

_PACKAGES = [
    "rtmlops",
    "kafka-python",
    "psycopg2-binary",
    "mlflow",
    "numpy",
    "pandas",
    "scikit-learn",
    "matplotlib",
    "papermill",
    "jupyter-book",
]


def status_page(text: str, runs: list[tuple[Chapter, NotebookNode]]) -> str:
    """Return the page's source with tables appended, from papermill's records."""
    lines = [text.rstrip(), "", "## Last runs", ""]
    if not runs:
        lines.append("No chapter has been run for this build.")
    else:
        lines += ["| Chapter | Run (UTC) | Took | Cells | Parameters |"]
        lines += ["|---|---|---:|---:|---|"]
    for chapter, notebook in runs:
        record = notebook.metadata.get("papermill", {})
        started = datetime.fromisoformat(record["start_time"])
        code = sum(cell.cell_type == "code" for cell in notebook.cells)
        given = ", ".join(f"`{k}={v}`" for k, v in record["parameters"].items())
        link = (
            f"[{chapter.number:02d} {chapter.title}](../notebooks/{chapter.stem}.ipynb)"
        )
        lines.append(
            f"| {link} | {started:%Y-%m-%d %H:%M} | {record['duration']:.0f} s "
            f"| {code} | {given or 'as published'} |"
        )
    lines += ["", "## Versions", "", "| Part | Version |", "|---|---|"]
    lines.append(f"| Python | {platform.python_version()} |")
    lines.append(f"| System | {platform.system()} {platform.machine()} |")
    for name in _PACKAGES:
        try:
            lines.append(f"| {name} | {version(name)} |")
        except PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"
