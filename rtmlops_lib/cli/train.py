"""``rtmlops train``: make a model, and let the gate decide about it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    StreamOption,
    TopicPrefixOption,
    chosen_spec,
    load_settings,
    parse_moment,
)
from rtmlops_lib.cli.printing import messages, new_table, output, print_json

if TYPE_CHECKING:
    from rtmlops_lib.models.forest_pipeline import ForestOutcome
    from rtmlops_lib.models.pipeline import Outcome

__all__ = ["app"]

app = subcommands("Train a model, register it, promote it if it passes the gate.")

SinceOption = Annotated[
    str,
    typer.Option(
        "--since", help="From then on: ISO 8601, or a length of time ago (7d)."
    ),
]
FromFileOption = Annotated[
    Path | None,
    typer.Option(
        "--from-file", help="Train on a .csv or .parquet file instead of the store."
    ),
]
ChallengerOption = Annotated[
    bool,
    typer.Option(
        "--challenger",
        help="Do not promote: let it score beside the champion, in shadow.",
    ),
]


@app.command()
def power(
    stream: StreamOption = "datacenter",
    since: SinceOption = "7d",
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            help="Only rows later than this moment, in place of --since: since when "
            "the target behaves as it does now.",
        ),
    ] = None,
    from_file: FromFileOption = None,
    challenger: ChallengerOption = False,
    kind: Annotated[
        str, typer.Option(help="forest (the book's), linear or boosting.")
    ] = "forest",
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> int:
    """Train the model of a stream's target on the newest rows.

    Exit 0 when the version was promoted (or made challenger), 1 when the gate refused
    it, 2 when there are too few rows.
    """
    from rtmlops_lib.errors import UsageError
    from rtmlops_lib.models.names import model_name
    from rtmlops_lib.models.pipeline import train_power_model
    from rtmlops_lib.models.registry import ModelRegistry
    from rtmlops_lib.models.require import require_models_extra
    from rtmlops_lib.models.rows import rows_of_file, rows_of_store
    from rtmlops_lib.models.settings import PowerSettings
    from rtmlops_lib.services.drift_reference import drift_reference
    from rtmlops_lib.store.factory import open_store

    require_models_extra()
    if kind not in ("forest", "linear", "boosting"):
        raise UsageError(
            f"--kind knows no {kind!r}", remedy="give forest, linear or boosting"
        )
    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    spec = chosen_spec(stream, settings)
    name = model_name(settings, spec)
    option = "--since" if after is None else "--after"
    first = parse_moment(since if after is None else after, option=option)
    progress = _progress()
    with closing(open_store(settings)) as store, progress:
        task = progress.add_task("reading rows", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text)

        if from_file is None:
            frame, flagged = rows_of_store(
                store,
                spec,
                since=first,
                on_rows=lambda count: say(f"reading rows: {count:,}"),
            )
        else:
            frame, flagged = rows_of_file(from_file, spec)
            if after is not None:
                later = (frame[spec.time.field] >= first).to_numpy()
                frame = frame.loc[later].reset_index(drop=True)
                flagged = None if flagged is None else flagged[later]
        outcome = train_power_model(
            ModelRegistry(settings.mlflow_tracking_uri),
            store,
            name,
            spec,
            frame,
            flagged=flagged,
            settings=PowerSettings.model_validate({"kind": kind}),
            source="store" if from_file is None else from_file.name,
            promote=not challenger,
            beside=drift_reference(
                spec, window_seconds=settings.monitor_window_seconds
            ),
            tags={} if after is None else {"change_point": first.isoformat()},
            on_step=say,
        )
    if as_json:
        print_json(_plain(outcome))
    else:
        _show(outcome)
    return 0 if outcome.promoted or challenger else 1


@app.command()
def anomaly(
    stream: StreamOption = "datacenter",
    since: SinceOption = "7d",
    from_file: FromFileOption = None,
    challenger: Annotated[
        bool,
        typer.Option(
            "--challenger",
            help="Do not promote: keep it for 'rtmlops models promote'.",
        ),
    ] = False,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> int:
    """Train the isolation forest that a stream's detector asks.

    Rows that a detector flagged teach it nothing. Exit 0 when the version was
    promoted (or made challenger), 1 when the gate refused it, 2 when there are too
    few rows.
    """
    from rtmlops_lib.models.forest_pipeline import train_detector_model
    from rtmlops_lib.models.names import detector_name
    from rtmlops_lib.models.registry import ModelRegistry
    from rtmlops_lib.models.require import require_models_extra
    from rtmlops_lib.models.rows import rows_of_file, rows_of_store
    from rtmlops_lib.store.factory import open_store

    require_models_extra()
    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    spec = chosen_spec(stream, settings)
    first = parse_moment(since, option="--since")
    progress = _progress()
    with closing(open_store(settings)) as store, progress:
        task = progress.add_task("reading rows", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text)

        if from_file is None:
            frame, flagged = rows_of_store(
                store,
                spec,
                since=first,
                fields=spec.numeric_fields,
                on_rows=lambda count: say(f"reading rows: {count:,}"),
            )
        else:
            frame, flagged = rows_of_file(from_file, spec)
        outcome = train_detector_model(
            ModelRegistry(settings.mlflow_tracking_uri),
            store,
            detector_name(settings, spec),
            spec,
            frame,
            flagged=flagged,
            source="store" if from_file is None else from_file.name,
            promote=not challenger,
            on_step=say,
        )
    if as_json:
        print_json(
            {
                "model": outcome.version.name,
                "version": outcome.version.version,
                "promoted": outcome.promoted,
                "rows": outcome.dataset.rows,
                "flagged_share": outcome.dataset.flagged_share,
                "metrics": outcome.metrics,
                "gate": outcome.gate.to_dict(),
            }
        )
    else:
        first_instant, last = outcome.dataset.window
        _show_rows(
            outcome.dataset.rows, first_instant, last, outcome.dataset.flagged_share
        )
        _show_verdict(outcome)
    return 0 if outcome.promoted or challenger else 1


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=messages(),
    )


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "model": outcome.version.name,
        "version": outcome.version.version,
        "promoted": outcome.promoted,
        "rows": outcome.trained.dataset.rows,
        "flagged_share": outcome.trained.dataset.flagged_share,
        "metrics": outcome.trained.metrics,
        "gate": outcome.gate.to_dict(),
    }


def _show(outcome: Outcome) -> None:
    from rtmlops_lib.services.drift_reference import LACKS

    dataset, metrics = outcome.trained.dataset, outcome.trained.metrics
    _show_rows(dataset.rows, *dataset.window, dataset.flagged_share)
    table = new_table(
        "model", "MAPE", "MAE", "RMSE", "R2", numbers=("MAPE", "MAE", "RMSE", "R2")
    )
    kind = outcome.trained.settings.kind
    for label in dict.fromkeys((kind, "linear", "boosting")):
        prefix = "" if label == kind else f"{label}_"
        table.add_row(
            label,
            f"{metrics[prefix + 'mape']:.2%}",
            *(f"{metrics[prefix + m]:.4f}" for m in ("mae", "rmse", "r2")),
        )
    output().print(table)
    _show_verdict(outcome)
    lacks = outcome.version.tags.get(LACKS)
    if lacks is not None:
        output().print(f"a monitor will never judge its live error: {lacks}")


def _show_rows(rows: int, first: str, last: str, flagged_share: float | None) -> None:
    flagged = (
        "no flags exist"
        if flagged_share is None
        else f"{flagged_share:.2%} left out as flagged"
    )
    output().print(f"{rows:,} rows, {first} to {last}; {flagged}")


def _show_verdict(outcome: Outcome | ForestOutcome) -> None:
    for check in outcome.gate.checks:
        sign = "passed" if check.passed else "FAILED"
        output().print(f"{sign}  {check.name}: {check.detail}")
    name = f"{outcome.version.name} v{outcome.version.version}"
    if outcome.promoted:
        output().print(f"{name} is champion now")
    else:
        output().print(f"{name} is registered; {outcome.gate.summary}")
