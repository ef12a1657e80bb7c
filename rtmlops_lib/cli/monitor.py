"""``rtmlops monitor``: watch live error and drift."""

from __future__ import annotations

from typing import Annotated

import typer

from rtmlops_lib.cli.options import (
    SchemaOption,
    StreamsOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
    parse_seconds,
)

__all__ = ["monitor"]


def monitor(
    stream: StreamsOption = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Length of a window in event time, for models without a reference of "
            "their own. Default: 1h."
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
    """Hold each window of the streams against the champion's own reference.

    The live error comes first: where it grew, a training on the rows after the change
    is asked for. Drift of the inputs alone warns. A new champion is compared with the
    one it replaced, and rolled back where it is worse. Default: every built-in stream
    that has a target.
    """
    from rtmlops_lib.services.monitor_process import run_monitor

    settings = load_settings(
        service=True,
        topic_prefix=topic_prefix,
        database_schema=schema,
        metrics_port=metrics_port,
        monitor_window_seconds=(
            None if window is None else parse_seconds(window, option="--window")
        ),
    )
    specs = chosen_specs(stream, settings)
    if not stream:
        specs = [spec for spec in specs if spec.target is not None]
    return run_monitor(settings, specs)
