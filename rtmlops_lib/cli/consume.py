"""``rtmlops consume``: the headless consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    ClientOption,
    SchemaOption,
    StreamsOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
    parse_moment,
)
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.services.loop_options import LoopOptions
    from rtmlops_lib.settings import Settings

__all__ = ["app"]

GroupOption = Annotated[
    str, typer.Option(help="Consumer group; each has positions of its own.")
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        help="Where a new group begins: earliest, latest, a time (ISO 8601) or "
        "a length of time ago (2h). A group that has read before goes on, and "
        "reads partitions that were added later whole.",
    ),
]
UntilIdleOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="For scripts: stop after so many seconds in which everything was "
        "stored and nothing new came. While events keep coming it does not end.",
    ),
]
MaxWaitOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        help="With --until-idle: give up (exit 3) after so many seconds without "
        "progress.",
    ),
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        help="TCP port for /metrics, /healthz and /readyz; 0 means off. Default: 0."
    ),
]
InstanceOption = Annotated[
    str | None,
    typer.Option(help="Static membership (a StatefulSet's pod name)."),
]

app = subcommands("Run a consumer until it is stopped.")


@app.command()
def storage(
    stream: StreamsOption = None,
    group: GroupOption = "storage",
    start: FromOption = "earliest",
    client: ClientOption = None,
    store: Annotated[str, typer.Option(help="Where rows go: postgres.")] = "postgres",
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    until_idle: UntilIdleOption = None,
    max_wait: MaxWaitOption = 120.0,
    metrics_port: MetricsPortOption = None,
    group_instance_id: InstanceOption = None,
) -> int:
    """Store every event of the streams as one row, exactly once."""
    from rtmlops_lib.services.process import run_storage

    if store != "postgres":
        raise UsageError(
            f"--store {store!r} is not known", remedy="give --store postgres"
        )
    settings = load_settings(
        service=True,
        kafka_client=client,
        topic_prefix=topic_prefix,
        database_schema=schema,
        metrics_port=metrics_port,
    )
    return run_storage(
        settings,
        chosen_specs(stream, settings),
        group=group,
        options=_options(settings, start, until_idle, max_wait),
        group_instance_id=group_instance_id,
    )


@app.command()
def predictor(
    stream: StreamsOption = None,
    group: GroupOption = "predictor",
    start: FromOption = "earliest",
    client: ClientOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    until_idle: UntilIdleOption = None,
    max_wait: MaxWaitOption = 120.0,
    metrics_port: MetricsPortOption = None,
    group_instance_id: InstanceOption = None,
) -> int:
    """Predict the streams' targets by the models that are champion and challenger.

    It waits, not ready, until there is a champion. Default: every built-in stream
    that has a target.
    """
    from rtmlops_lib.services.predictor_process import run_predictor

    settings = load_settings(
        service=True,
        kafka_client=client,
        topic_prefix=topic_prefix,
        database_schema=schema,
        metrics_port=metrics_port,
    )
    specs = chosen_specs(stream, settings)
    if not stream:
        specs = [spec for spec in specs if spec.target is not None]
    return run_predictor(
        settings,
        specs,
        group=group,
        options=_options(settings, start, until_idle, max_wait),
        group_instance_id=group_instance_id,
    )


@app.command()
def detector(
    stream: StreamsOption = None,
    name: Annotated[
        str,
        typer.Option(
            "--detector",
            help="Name under which scores and episodes are stored; another group "
            "with another name does not touch them.",
        ),
    ] = "default",
    group: GroupOption = "detector",
    start: FromOption = "earliest",
    client: ClientOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    until_idle: UntilIdleOption = None,
    max_wait: MaxWaitOption = 120.0,
    metrics_port: MetricsPortOption = None,
    group_instance_id: InstanceOption = None,
) -> int:
    """Score every event of the streams, and tell of each anomaly once.

    Power model and isolation forest take part where they are champions; without any
    each series is held against its own past. Default: both built-in streams.
    """
    from rtmlops_lib.services.detector_process import run_detector

    settings = load_settings(
        service=True,
        kafka_client=client,
        topic_prefix=topic_prefix,
        database_schema=schema,
        metrics_port=metrics_port,
    )
    specs = chosen_specs(stream, settings)
    if not stream:
        specs = [spec for spec in specs if spec.watched and spec.numeric_fields]
    return run_detector(
        settings,
        specs,
        group=group,
        detector=name,
        options=_options(settings, start, until_idle, max_wait),
        group_instance_id=group_instance_id,
    )


def _options(
    settings: Settings, start: str, until_idle: float | None, max_wait: float
) -> LoopOptions:
    from rtmlops_lib.services.loop_options import LoopOptions

    return LoopOptions.from_settings(
        settings,
        start=(
            start
            if start in ("earliest", "latest")
            else parse_moment(start, option="--from")
        ),
        until_idle=until_idle,
        max_wait=max_wait,
    )
