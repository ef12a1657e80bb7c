"""Options that several commands share, and what they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.streams import StreamSpec

__all__ = [
    "ClientOption",
    "JsonOption",
    "KafkaClient",
    "SchemaOption",
    "StreamOption",
    "StreamsOption",
    "TopicPrefixOption",
    "chosen_spec",
    "chosen_specs",
    "load_settings",
    "parse_moment",
    "parse_seconds",
]


class KafkaClient(StrEnum):
    """The clients that ``--client`` may name."""

    KAFKA_PYTHON = "kafka-python"
    CONFLUENT = "confluent"


StreamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        help="A built-in stream's name or a spec's YAML file; may be repeated. "
        "Default: all built-in streams.",
    ),
]
StreamOption = Annotated[
    str,
    typer.Option("--stream", help="A built-in stream's name or a spec's YAML file."),
]
ClientOption = Annotated[
    KafkaClient | None,
    typer.Option("--client", help="Kafka client. Default: kafka-python."),
]
TopicPrefixOption = Annotated[
    str | None,
    typer.Option(
        "--topic-prefix", help="Put this before every topic's name (ch04-, test-)."
    ),
]
SchemaOption = Annotated[
    str | None,
    typer.Option("--schema", help="Database schema of the tables. Default: public."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")
]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_OPTION_OF = {
    "kafka_client": "--client",
    "database_schema": "--schema",
    "topic_prefix": "--topic-prefix",
    "metrics_port": "--metrics-port",
    "api_host": "--host",
    "api_port": "--port",
    "stack_kafka_port": "--kafka-port",
    "stack_postgres_port": "--postgres-port",
    "stack_mlflow_port": "--mlflow-port",
}


def load_settings(*, service: bool = False, **flags: Any) -> Settings:
    """Read the settings and set up logging as they say.

    Parameters
    ----------
    service : bool
        Whether the command runs on and its log is what one reads; all others write
        warnings only, unless a level was asked for.
    **flags
        Values of options that are settings; None means not given.
    """
    from rtmlops_lib.logs import configure_logging
    from rtmlops_lib.settings import Settings

    given: dict[str, Any] = {
        k: v.value if isinstance(v, StrEnum) else v for k, v in flags.items()
    }
    try:
        settings, sources = Settings.load_with_sources(**given)
    except UsageError as error:
        for name, option in _OPTION_OF.items():
            theirs = f"RTMLOPS_{name.upper()} (from flag): "
            if error.message.startswith(theirs):
                found = error.message.removeprefix(theirs)
                message = f"{option} {given[name]!r}: {found}"
                raise UsageError(message, remedy="see --help") from None
        raise
    quiet = not service and "log_level" not in sources
    configure_logging(
        "WARNING" if quiet else settings.log_level,
        settings.log_format,
        clients=not quiet,
    )
    return settings


def chosen_specs(streams: Sequence[str] | None, settings: Settings) -> list[StreamSpec]:
    """Return the named specs, all built-in ones by default, topics prefixed.

    Raises
    ------
    UsageError
        For a name that is none, or one that stands twice.
    """
    from rtmlops_lib.streams import builtin_specs, resolve_spec

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


def chosen_spec(stream: str, settings: Settings) -> StreamSpec:
    """Return one named spec, its topic prefixed."""
    return chosen_specs([stream], settings)[0]


def parse_seconds(text: str, *, option: str) -> float:
    """Read a length of time: ``90``, ``10s``, ``5m``, ``2h``, ``7d``, ``1w``.

    Examples
    --------
    >>> parse_seconds("7d", option="--since")
    604800.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)?\s*", text, re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else math.inf
    if math.isinf(seconds):
        raise UsageError(
            f"{option} {text!r} is no length of time",
            remedy="write it as 90, 10s, 5m, 2h, 7d or 1w",
        )
    return seconds


def parse_moment(text: str, *, option: str, now: datetime | None = None) -> datetime:
    """Read a moment: ISO 8601 with an offset, ``now``, or a length of time ago.

    Examples
    --------
    >>> parse_moment("2025-09-30T12:00:00Z", option="--since").isoformat()
    '2025-09-30T12:00:00+00:00'
    """
    now = datetime.now(UTC) if now is None else now
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _ago(text, option, now)
    if moment.tzinfo is None:
        whole = text if re.search(r"[T ]\d", text) else f"{text}T00:00:00"
        raise UsageError(
            f"{option} {text!r} has no time zone", remedy=f"write {whole}Z for UTC"
        )
    return moment


def _ago(text: str, option: str, now: datetime) -> datetime:
    try:
        return now - timedelta(seconds=parse_seconds(text, option=option))
    except OverflowError:
        raise UsageError(
            f"{option} {text!r} reaches back before the year 1",
            remedy="write a shorter length of time, such as 7d",
        ) from None
    except UsageError:
        raise UsageError(
            f"{option} {text!r} is neither a time nor a length of time",
            remedy="write it as 2025-09-30T12:00:00Z, or as 2h or 7d (ago)",
        ) from None
