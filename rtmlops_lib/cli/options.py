"""Options that several commands share, and what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import StreamSpec, builtin_specs, resolve_spec

__all__ = [
    "ClientOption",
    "JsonOption",
    "StreamsOption",
    "TopicPrefixOption",
    "chosen_specs",
    "load_settings",
    "parse_moment",
    "parse_seconds",
    "print_json",
]

StreamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        help="A built-in stream's name or a spec's YAML file; may be repeated. "
        "Default: all built-in streams.",
    ),
]
ClientOption = Annotated[
    str | None,
    typer.Option("--client", help="Kafka client: kafka-python or confluent."),
]
TopicPrefixOption = Annotated[
    str | None,
    typer.Option(
        "--topic-prefix", help="Put this before every topic's name (ch04-, test-)."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")
]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def load_settings(**flags: Any) -> Settings:
    """Read the settings and set up logging as they say."""
    from rtmlops_lib.logs import configure_logging

    settings = Settings.load(**flags)
    configure_logging(settings.log_level, settings.log_format)
    return settings


def chosen_specs(streams: Sequence[str] | None, settings: Settings) -> list[StreamSpec]:
    """Return the named specs, all built-in ones by default, topics prefixed.

    Raises
    ------
    UsageError
        For a name that is none, or one that stands twice.
    """
    names = list(streams or builtin_specs())
    specs = [resolve_spec(name) for name in names]
    for role in ("name", "topic", "table"):
        values = [getattr(spec, role) for spec in specs]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise UsageError(
                f"two of the streams have the same {role}: {', '.join(sorted(twice))}",
                remedy="name each stream once",
            )
    if settings.topic_prefix:
        specs = [s.evolve(topic=settings.topic_prefix + s.topic) for s in specs]
    return specs


def parse_seconds(text: str, *, option: str) -> float:
    """Read a length of time: ``90``, ``10s``, ``5m``, ``2h``, ``7d``, ``1w``.

    Examples
    --------
    >>> parse_seconds("7d", option="--since")
    604800.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)?\s*", text)
    if not match:
        raise UsageError(
            f"{option} {text!r} is no length of time",
            remedy="write it as 90, 10s, 5m, 2h, 7d or 1w",
        )
    return float(match[1]) * _UNITS[match[2] or "s"]


def parse_moment(text: str, *, option: str, now: datetime | None = None) -> datetime:
    """Read a moment: ISO 8601 with an offset, ``now``, or a length of time ago."""
    now = datetime.now(UTC) if now is None else now
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=parse_seconds(text, option=option))
    if moment.tzinfo is None:
        raise UsageError(
            f"{option} {text!r} has no time zone", remedy=f"write {text}Z for UTC"
        )
    return moment


def print_json(data: Any) -> None:
    """Print plain data for a script."""
    typer.echo(json.dumps(data, default=str, ensure_ascii=False))
