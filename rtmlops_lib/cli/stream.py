"""``rtmlops stream``: what a stream is, and what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    TopicPrefixOption,
    chosen_spec,
    load_settings,
)
from rtmlops_lib.cli.printing import new_table, output, print_json
from rtmlops_lib.errors import CheckFailed, UsageError

__all__ = ["app"]

app = subcommands("Draft, show and check specs; look into their topics.")

StreamArgument = Annotated[
    str, typer.Argument(help="A built-in stream's name or a spec's YAML file.")
]


@app.command()
def init(
    topic: Annotated[
        str, typer.Option(help="The topic whose newest records are the samples.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the stream and of its table. Default: the topic's, with _ "
            "for what no table name may have."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the YAML file here. Default: print it."),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Newest records to read.")
    ] = 1_000,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file where it exists.")
    ] = False,
) -> None:
    """Draft a spec from the newest records of a topic, for you to complete.

    Types, time and key are guessed from the samples; units and bounds are yours to
    add: what lies outside the bounds becomes a dead letter.
    """
    from rtmlops_lib.streams import infer_spec
    from rtmlops_lib.transport.reader import read_newest

    if out is not None and out.exists() and not force:
        raise UsageError(
            f"--out {out} exists", remedy="give another name, or --force to replace it"
        )
    settings = load_settings()
    stream = re.sub(r"[^a-z0-9]+", "_", topic.lower()).strip("_") if not name else name
    values = [
        value
        for raw in read_newest(settings, topic, count)
        for value in raw.values
        if value is not None
    ]
    text = infer_spec(stream, topic, values).to_yaml()
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror or error}",
            remedy="choose a folder that exists and that you may write to",
        ) from error
    typer.echo(
        f"wrote {out}, drafted from {len(values)} records; look it through, then run "
        f"'rtmlops stream validate {out}'"
    )


@app.command()
def show(
    stream: Annotated[
        str | None,
        typer.Argument(help="A built-in stream or a YAML file; without it: a list."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a stream's spec as YAML, or list the built-in streams."""
    from rtmlops_lib.streams import builtin_specs

    if stream is None:
        specs = builtin_specs().values()
        if as_json:
            print_json([spec.model_dump(mode="json") for spec in specs])
            return
        table = new_table("stream", "topic", "table", "identity", "fields")
        for spec in specs:
            fields = ", ".join(spec.fields)
            table.add_row(
                spec.name, spec.topic, spec.table, ", ".join(spec.identity), fields
            )
        output().print(table)
        return
    spec = chosen_spec(stream, load_settings())
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
    as_json: JsonOption = False,
) -> None:
    """Decode the newest records of the topic; exit 1 where one is no event."""
    from rtmlops_lib.streams import JsonCodec
    from rtmlops_lib.transport.reader import read_newest

    settings = load_settings(topic_prefix=topic_prefix)
    spec = chosen_spec(stream, settings)
    codec = JsonCodec(spec)
    valid = 0
    reasons: dict[str, int] = {}
    first: dict[str, str] = {}
    for raw in read_newest(settings, spec.topic, count):
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
            f"topic {spec.topic!r} has no records",
            remedy="let its producer send some; 'rtmlops generate' feeds the built-in "
            "streams",
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
) -> None:
    """Print records as they lie in the topic: partition, offset, key, value."""
    from rtmlops_lib.transport.reader import follow_topic, read_newest

    settings = load_settings(topic_prefix=topic_prefix)
    spec = chosen_spec(stream, settings)
    read = follow_topic if follow else read_newest
    for raw in read(settings, spec.topic, count):
        for offset, key, value in zip(raw.offsets, raw.keys, raw.values, strict=True):
            typer.echo(f"{raw.partition}\t{offset}\t{_text(key)}\t{_text(value)}")


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode("utf-8", "backslashreplace")
