"""``rtmlops trainer``: train by schedule and on demand."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmlops_lib.cli.options import (
    SchemaOption,
    StreamsOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
)

__all__ = ["trainer"]


def trainer(
    stream: StreamsOption = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Crontab line in UTC: minute, hour, day, month, day of week; '' for "
            "never. Default: '0 3 * * *'."
        ),
    ] = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="TCP port for /metrics, /healthz and /readyz; 0 means off. Default: 0."
        ),
    ] = None,
) -> int:
    """Train the models of the streams every day, and whenever somebody asks.

    Several trainers share one queue; a job whose trainer was killed is taken over.
    Default: all built-in streams.
    """
    from rtmlops_lib.services.trainer_process import run_trainer

    settings = load_settings(
        service=True,
        topic_prefix=topic_prefix,
        database_schema=schema,
        metrics_port=metrics_port,
        train_schedule=schedule,
    )
    return run_trainer(settings, chosen_specs(stream, settings))
