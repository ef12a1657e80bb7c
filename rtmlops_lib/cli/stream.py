"""``rtmlops stream``: what a stream is, and what is in it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from rtmlops_lib.cli.options import (
    ClientOption,
    JsonOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
    print_json,
)
from rtmlops_lib.errors import CheckFailed, UsageError
from rtmlops_lib.streams import (
    JsonCodec,
    builtin_specs,
)
from rtmlops_lib.transport.reader import read_topic

__all__ = ["app"]

app = typer.Typer(help="Look at streams and their specs.", no_args_is_help=True)

StreamArgument = Annotated[
    str, typer.Argument(help="A built-in stream's name or a spec's YAML file.")
]


@app.command()
def show(
    stream: Annotated[
        str | None,
        typer.Argument(help="A built-in stream or a YAML file; without it: a list."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a stream's spec as YAML, or list the built-in streams."""
    if stream is None:
        specs = builtin_specs().values()
        if as_json:
            print_json([spec.model_dump(mode="json") for spec in specs])
            return
        table = Table("stream", "topic", "table", "identity", "fields", box=None)
        for spec in specs:
            fields = ", ".join(spec.fields)
            table.add_row(
                spec.name, spec.topic, spec.table, ", ".join(spec.identity), fields
            )
        Console().print(table)
        return
    (spec,) = chosen_specs([stream], load_settings())
    if as_json:
        print_json(spec.model_dump(mode="json"))
    else:
        typer.echo(spec.to_yaml(), nl=False)


@app.command()
def validate(
    stream: StreamArgument,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Newest records to read.")
    ] = 1_000,
    topic_prefix: TopicPrefixOption = None,
    client: ClientOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decode the newest records of the topic; exit 1 where one is no event."""
    settings = load_settings(topic_prefix=topic_prefix, kafka_client=client)
    (spec,) = chosen_specs([stream], settings)
    codec = JsonCodec(spec)
    valid = 0
    reasons: dict[str, int] = {}
    first: dict[str, str] = {}
    for raw in read_topic(settings, spec.topic, newest=count):
        decoded = codec.decode(raw)
        valid += len(decoded.batch)
        for reject in decoded.rejects:
            reasons[reject.reason] = reasons.get(reject.reason, 0) + 1
            place = f"{raw.topic}/{raw.partition}@{raw.offsets[reject.index]}"
            first.setdefault(reject.reason, f"{place}: {reject.detail}")
    if as_json:
        print_json({"valid": valid, "rejected": reasons, "first": first})
    else:
        typer.echo(f"{valid} valid events of {valid + sum(reasons.values())} records")
        for reason, number in sorted(reasons.items(), key=lambda item: -item[1]):
            typer.echo(f"  {number} {reason}: first {first[reason]}")
    if reasons:
        raise CheckFailed(
            f"{sum(reasons.values())} records are no events of {spec.name!r}",
            remedy="mend the producer or the spec; storage dead-letters them",
        )
    if valid == 0:
        raise UsageError(
            f"topic {spec.topic!r} has no records", remedy="run 'rtmlops generate'"
        )


@app.command()
def tail(
    stream: StreamArgument,
    count: Annotated[
        int,
        typer.Option("--count", "-n", min=0, help="Newest records to begin with."),
    ] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until interrupted.")
    ] = False,
    topic_prefix: TopicPrefixOption = None,
    client: ClientOption = None,
) -> None:
    """Print records as they lie in the topic: partition, offset, key, value."""
    settings = load_settings(topic_prefix=topic_prefix, kafka_client=client)
    (spec,) = chosen_specs([stream], settings)
    for raw in read_topic(settings, spec.topic, newest=count, follow=follow):
        for offset, key, value in zip(raw.offsets, raw.keys, raw.values, strict=True):
            typer.echo(f"{raw.partition}\t{offset}\t{_text(key)}\t{_text(value)}")


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode("utf-8", "backslashreplace")
