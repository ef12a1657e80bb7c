"""``rtmlops api``: the retraining API and its control page."""

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

__all__ = ["api"]


def api(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on. Default: 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="TCP port; /metrics and /readyz too. Default: 8000."),
    ] = None,
    stream: StreamsOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
) -> int:
    """Serve the retraining API and its control page until it is stopped.

    It does not start without RTMLOPS_API_TOKEN. Behind a proxy that speaks TLS, on
    another host, set FORWARDED_ALLOW_IPS to its address: the page's cookie is then one
    for TLS alone.
    """
    from rtmlops_lib.cli.extras import require_api_extra

    require_api_extra()
    from rtmlops_lib.services.api import run_api

    settings = load_settings(
        service=True,
        api_host=host,
        api_port=port,
        topic_prefix=topic_prefix,
        database_schema=schema,
    )
    return run_api(settings, chosen_specs(stream, settings))
