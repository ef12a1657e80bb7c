"""``rtmlops offsets``: where consumer groups stand, and how to replay."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

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
from rtmlops_lib.cli.printing import new_table, output, print_json
from rtmlops_lib.errors import UsageError

if TYPE_CHECKING:
    from rtmlops_lib.streams import StreamSpec, TopicPartition
    from rtmlops_lib.transport.admin import TopicAdmin

__all__ = ["app"]


class Recomputed(StrEnum):
    """What services derive from events."""

    PREDICTIONS = "predictions"
    ANOMALIES = "anomalies"


app = subcommands("Show where consumer groups stand; make them read again.")


@app.command()
def show(
    group: Annotated[str | None, typer.Option(help="Only this consumer group.")] = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the stored offsets, which are the truth; Kafka's are for lag tools only."""
    from rtmlops_lib.store.factory import open_store

    settings = load_settings(database_schema=schema)
    with closing(open_store(settings)) as store:
        rows = store.offsets(group).to_dict("records")
    if as_json:
        print_json(rows)
        return
    numbers = ("partition", "next_offset", "epoch")
    shown = ("consumer_group", "topic", *numbers)
    table = new_table(*shown, "updated_at", numbers=numbers)
    for row in rows:
        when = row["updated_at"].isoformat(timespec="seconds")
        table.add_row(*(str(row[name]) for name in shown), when)
    if rows:
        output().print(table)
    elif group is None:
        output().print("no offsets are stored yet")
    else:
        output().print(f"no offsets of group {group!r} are stored")


@app.command()
def reset(
    stream: StreamOption,
    to: Annotated[
        str,
        typer.Option(
            help="earliest, latest, an offset, a time (ISO 8601) or a length of time "
            "ago (2h)."
        ),
    ],
    group: Annotated[
        str | None,
        typer.Option(
            help="The consumer group. Default: storage; with --recompute predictor or "
            "detector."
        ),
    ] = None,
    partition: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Only this partition; may be repeated."),
    ] = None,
    recompute: Annotated[
        Recomputed | None,
        typer.Option(
            help="Also delete what was made of these events, so that it is made anew."
        ),
    ] = None,
    detector: Annotated[
        str, typer.Option(help="With --recompute anomalies: whose.")
    ] = "default",
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a stopped group's offsets; what was stored already is not stored twice."""
    from rtmlops_lib.store import TopicRef
    from rtmlops_lib.store.factory import open_store
    from rtmlops_lib.store.postgres.recompute import Recompute
    from rtmlops_lib.transport.factory import open_admin

    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    spec = chosen_spec(stream, settings)
    topic = spec.topic
    again, usual = None, "storage"
    if recompute is Recomputed.ANOMALIES:
        again, usual = Recompute(spec, detector), "detector"
    elif recompute is Recomputed.PREDICTIONS:
        again, usual = Recompute(_with_target(spec)), "predictor"
    group = usual if group is None else group
    with open_admin(settings) as admin:
        members = admin.group_members(group)
        if members:
            raise UsageError(
                f"group {group!r} is running with {members} member"
                f"{'s' if members > 1 else ''}",
                remedy="stop it first; a killed member counts for some seconds yet",
            )
        description = admin.describe([topic]).get(topic)
        if description is None:
            raise UsageError(
                f"topic {topic!r} does not exist",
                remedy="'rtmlops topics list' shows those that do",
            )
        ref = TopicRef(admin.cluster_id(), description.topic_id, topic)
        chosen = _partitions(topic, description.partitions, partition)
        targets = _targets(admin, chosen, to)
    with closing(open_store(settings)) as store:
        known = not store.offsets(group).empty
        deleted = store.reset_offsets(
            group, {tp: (ref, at) for tp, at in targets.items()}, again
        )
    rows = [
        {"consumer_group": group, **tp._asdict(), "next_offset": at}
        for tp, at in sorted(targets.items())
    ]
    if as_json:
        print_json(rows)
        return
    if not known:
        output().print(f"group {group!r} is new: it had no offsets yet")
    for row in rows:
        text = f"{topic}/{row['partition']} reads on at {row['next_offset']}"
        output().print(text)
    if recompute is not None:
        output().print(f"deleted {deleted} rows of {recompute.value}")


def _with_target(spec: StreamSpec) -> StreamSpec:
    if spec.target is None:
        raise UsageError(
            f"stream {spec.name!r} has no target, and so no predictions",
            remedy="'rtmlops stream show' lists what a stream has",
        )
    return spec


def _partitions(
    topic: str, count: int, chosen: list[int] | None
) -> list[TopicPartition]:
    from rtmlops_lib.streams import TopicPartition

    wanted = range(count) if not chosen else sorted(set(chosen))
    beyond = [number for number in wanted if number >= count]
    if beyond:
        raise UsageError(
            f"topic {topic!r} has {count} partitions, and --partition is {beyond[0]}",
            remedy=f"give 0 to {count - 1}",
        )
    return [TopicPartition(topic, number) for number in wanted]


def _targets(
    admin: TopicAdmin, chosen: list[TopicPartition], to: str
) -> Mapping[TopicPartition, int]:
    starts = admin.offsets(chosen, "earliest")
    ends = admin.offsets(chosen, "latest")
    if to == "earliest":
        return starts
    if to == "latest":
        return ends
    if to.isdecimal():
        offset = int(to)
        for tp in chosen:
            if not starts[tp] <= offset <= ends[tp]:
                raise UsageError(
                    f"--to {offset} lies outside {tp.topic}/{tp.partition}, which "
                    f"holds {starts[tp]} to {ends[tp]}",
                    remedy="name the --partition, or give a time",
                )
        return dict.fromkeys(chosen, offset)
    moment = parse_moment(to, option="--to")
    found = admin.offsets(chosen, int(moment.timestamp() * 1000))
    return {tp: at if at >= 0 else ends[tp] for tp, at in found.items()}
