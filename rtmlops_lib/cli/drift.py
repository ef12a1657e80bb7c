"""``rtmlops drift``: has the stream changed, and what spoke for it."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rtmlops_lib.cli.frames import read_frame
from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import JsonOption, SchemaOption, load_settings
from rtmlops_lib.cli.printing import messages, new_table, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.monitoring.compare import Comparison
    from rtmlops_lib.monitoring.verdict import DriftVerdict

__all__ = ["app"]

app = subcommands("Compare a stream with its reference; explain what was found.")

FigureOption = Annotated[
    Path | None,
    typer.Option("--figure", help="Draw the verdict into this file: .png, .svg, .pdf."),
]
_FIGURES = (".png", ".svg", ".pdf")
_COLOR = {"drift": "red", "warning": "yellow", "stable": "green", "unknown": "dim"}


@app.command()
def check(
    reference: Annotated[
        Path, typer.Option(help="What things were like: .csv or .parquet.")
    ],
    current: Annotated[
        Path, typer.Option(help="What they are like now: .csv or .parquet.")
    ],
    time_column: Annotated[
        str | None,
        typer.Option(help="The column of times. Default: the one that looks like it."),
    ] = None,
    series_column: Annotated[
        str | None, typer.Option(help="The column that says which series a row is of.")
    ] = None,
    figure: FigureOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether a file has drifted from a reference.

    Thresholds come from the reference itself, by hour of the week in UTC. Exit 0: no
    drift; 1: drift; 2: cannot judge, with the reason. Without a time column the order
    of the rows is taken as the order of time.
    """
    from rtmlops_lib.models.require import require_models_extra

    require_models_extra()
    _check_figure(figure)
    from rtmlops_lib.monitoring.compare import compare_frames

    with messages().status("reading and comparing"):
        found = compare_frames(
            read_frame(reference, "--reference"),
            read_frame(current, "--current"),
            time_column=time_column,
            series_column=series_column,
            reference_id=reference.name,
        )
    if figure is not None:
        _draw(found.verdict, figure)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found.verdict, found)
        for note in found.notes:
            output().print(f"[dim]note:[/] {escape(note)}")
    return {"drift": 1, "unknown": 2}.get(found.verdict.state, 0)


@app.command()
def explain(
    report: Annotated[int, typer.Argument(metavar="ID", help="Number of the report.")],
    figure: FigureOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a stored drift report rests on, and judge it again."""
    from rtmlops_lib.monitoring.verdict import DriftVerdict

    _check_figure(figure)
    with closing(_store(schema)) as store:
        row = store.drift_reports.get(report)
    if row is None:
        raise UsageError(
            f"there is no drift report {report}",
            remedy="'rtmlops drift status' lists the newest",
        )
    verdict = DriftVerdict.from_dict(row["report"])
    if figure is not None:
        _draw(verdict, figure)
    again = verdict.replay().state
    if as_json:
        print_json({**row, "replayed": again})
        return
    output().print(
        f"report {report}: {escape(str(row['stream']))}, {verdict.kind} of "
        f"{escape(str(row['model_name']))} v{row['model_version']}, checked "
        f"{row['checked_at']}"
    )
    _show(verdict)
    for note in verdict.notes:
        output().print(f"[dim]note:[/] {escape(note)}")
    output().print(f"judged again from the stored numbers: {again}")


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, help="How many reports.")] = 20,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest drift reports, newest first."""
    with closing(_store(schema)) as store:
        found = store.drift_reports.list(limit=limit, with_reasons=True)
    names = ["id", "checked_at", "stream", "kind", "model_name", "model_version"]
    names += ["window_start", "window_end", "state"]
    rows = found[[*names, "reason"]].to_dict("records")
    if as_json:
        print_json(rows)
        return
    if not rows:
        output().print("no drift reports yet; 'rtmlops monitor' writes them")
        return
    table = new_table(*names, numbers=("id", "model_version"))
    for row in rows:
        cells = ["" if row[name] is None else escape(str(row[name])) for name in names]
        cells[-1] = _colored(str(row["state"]))
        table.add_row(*cells)
    output().print(table)
    told: set[tuple[str, str]] = set()
    for row in rows:
        # The newest of each kind, in words, where there is anything to say.
        which = (str(row["model_name"]), str(row["kind"]))
        if which not in told and row["state"] != "stable":
            said = f"{row['kind']} of {row['model_name']} v{row['model_version']}"
            state = _colored(str(row["state"]))
            output().print(f"{escape(said)}: {state}: {escape(str(row['reason']))}")
        told.add(which)


def _store(schema: str | None) -> Any:
    from rtmlops_lib.store.factory import open_store

    return open_store(load_settings(database_schema=schema))


def _check_figure(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix.lower() not in _FIGURES:
        raise UsageError(
            f"--figure {path} ends in none of {', '.join(_FIGURES)}",
            remedy="give a name that tells the format",
        )
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(
            f"--figure {path}: its folder does not exist, or it is a folder",
            remedy="give the name of a file in a folder that exists",
        )


def _draw(verdict: DriftVerdict, path: Path) -> None:
    from rtmlops_lib.monitoring.figure import figure
    from rtmlops_lib.teaching.style import use_style

    use_style()
    # It says at length that it takes bold for semibold.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        figure(verdict).savefig(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            remedy="choose a folder that you may write to",
        ) from error


def _plain(found: Comparison) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "state": verdict.state,
        "reason": verdict.reason,
        "effective_rows": verdict.effective_rows,
        "rows": {"reference": found.rows, "current": found.current_rows},
        "windows": found.judged,
        "window": found.calibration.window,
        "profile": found.calibration.cycle,
        "features": [
            {
                "feature": row.name,
                "kind": row.kind,
                "state": verdict.feature_states.get(row.name),
                "effect": row.effect,
                "unit": row.unit,
                "threshold": row.threshold,
                "windows_over": found.over(row.name),
                "p_value": row.p_value,
                "adjusted_p": row.adjusted_p,
                "missing": row.missing,
                "effective_rows": verdict.after.effective_rows(row.name),
            }
            for row in verdict.features
        ],
        "notes": list(found.notes),
        "verdict": verdict.to_dict(),
    }


def _show(verdict: DriftVerdict, found: Comparison | None = None) -> None:
    output().print(f"{_colored(verdict.state, 'bold ')}: {escape(verdict.reason)}")
    if verdict.features:
        numbers = ("effect", "threshold", "over", "p (Holm)", "missing", "independent")
        table = new_table("feature", "state", "unit", *numbers, numbers=numbers)
        for row in sorted(verdict.features, key=lambda row: row.name):
            marks = verdict.after.marks(row.name, verdict.settings.windows)
            over, of = sum(m == 2 for m in marks), len(marks)
            if found is not None:
                over, of = found.over(row.name), found.judged
            table.add_row(
                escape(row.name),
                _colored(verdict.feature_states.get(row.name, "unknown")),
                row.unit,
                _number(row.effect),
                _number(row.threshold),
                f"{over}/{of}",
                "" if row.adjusted_p is None else f"{row.adjusted_p:.2g}",
                f"{row.missing:.0%}",
                f"{verdict.after.effective_rows(row.name):,.0f}",
            )
        output().print(table)
    place = f"window {verdict.start} to {verdict.end}, {verdict.rows:,} rows"
    output().print(f"{place}; reference {escape(verdict.reference_id)}")
    if verdict.change_point is not None:
        output().print(f"the error began to grow at {verdict.change_point}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _colored(state: str, style: str = "") -> str:
    return f"[{style}{_COLOR.get(state, '')}]{escape(state)}[/]"
