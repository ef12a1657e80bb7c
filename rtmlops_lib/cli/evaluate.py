"""``rtmlops evaluate``: the detectors against the simulator's truth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rtmlops_lib.cli.options import JsonOption
from rtmlops_lib.cli.printing import messages, new_table, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.models.trial import Trial
    from rtmlops_lib.simulator import SimulatorSettings

__all__ = ["evaluate"]

_WHO = ("statistical", "all", "both")


def evaluate(
    profile: Annotated[
        str, typer.Option(help="normal, chaos, temperature, network, production, dev.")
    ] = "production",
    days: Annotated[
        float, typer.Option(min=0.1, help="Simulated days that are judged.")
    ] = 14.0,
    history: Annotated[
        float,
        typer.Option(min=0.3, help="Days before: models are trained, detectors learn."),
    ] = 3.0,
    servers: Annotated[
        int | None, typer.Option(help="How many. Default: the profile's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated fleet.")] = 42,
    anomaly_prob: Annotated[
        float | None,
        typer.Option(help="Share of time in anomalies. Default: the profile's."),
    ] = None,
    witnesses: Annotated[
        str, typer.Option(help="statistical, all (with models), or both in turn.")
    ] = "both",
    as_json: JsonOption = False,
) -> None:
    """Let the detectors watch a simulated fleet, and count what they found.

    An event is found when it is told of before its end; delays are in samples;
    AUC-PR counts each row as itself. Nothing is sent or stored. 14 days of 50
    servers are 15 million readings: minutes.
    """
    if witnesses not in _WHO:
        raise UsageError(
            f"--witnesses knows no {witnesses!r}", remedy=f"give {', '.join(_WHO)}"
        )
    if witnesses != "statistical":
        from rtmlops_lib.models.require import require_models_extra

        require_models_extra()
    from rtmlops_lib.simulator import SimulatorSettings

    settings = SimulatorSettings.of_profile(
        profile, servers=servers, seed=seed, anomaly_prob=anomaly_prob
    )
    modes = ("statistical", "all") if witnesses == "both" else (witnesses,)
    told = []
    for mode in modes:
        began = time.monotonic()
        trial = _tried(mode, settings, days, history)
        if as_json:
            seconds = time.monotonic() - began
            told.append({"witnesses": mode, "seconds": seconds, **_plain(trial)})
        else:
            _show(mode, trial, profile, seed)
    if as_json:
        print_json(told)


def _tried(
    mode: str, settings: SimulatorSettings, days: float, history: float
) -> Trial:
    from rtmlops_lib.models.trial import run_trial

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        console=messages(),
    )
    with bar:
        task = bar.add_task(mode, total=1.0)

        def say(text: str, share: float) -> None:
            bar.update(task, description=f"{mode}: {text}", completed=share)

        return run_trial(
            settings,
            days=days,
            history_days=history,
            models=mode == "all",
            on_step=say,
        )


def _plain(trial: Trial) -> dict[str, Any]:
    found = trial.evaluation
    return {
        "by_type": found.table().to_dict("index"),
        "episodes": found.episodes,
        "precision": found.precision,
        "false_alarms_per_server_day": found.false_alarms_per_server_day,
        "server_days": found.server_days,
    }


def _show(mode: str, trial: Trial, profile: str, seed: int) -> None:
    found = trial.evaluation
    who = {name: ", ".join(rows.witnesses) for name, rows in trial.streams.items()}
    output().print(
        f"{mode}: profile {profile}, seed {seed}, {found.server_days:g} server-days; "
        + "; ".join(f"{name}: {names}" for name, names in who.items())
    )
    numbers = ("events", "recall", "median delay", "AUC-PR")
    table = new_table("type", *numbers, numbers=numbers)
    for kind, result in found.by_type.items():
        table.add_row(
            kind,
            str(result.events),
            f"{result.recall:.3f}",
            f"{result.median_delay:g}",
            f"{result.average_precision:.3f}",
        )
    output().print(table)
    output().print(
        f"{found.episodes} episodes, precision {found.precision:.3f}, "
        f"{found.false_alarms_per_server_day:.4f} false alarms a server and day"
    )
