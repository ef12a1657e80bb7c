"""``rtmlops topics``: create the streams' topics, list what there is."""

from __future__ import annotations

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    StreamsOption,
    TopicPrefixOption,
    chosen_specs,
    load_settings,
)
from rtmlops_lib.cli.printing import new_table, output, print_json

__all__ = ["app"]

app = subcommands("Create the streams' topics, list what there is.")


@app.command()
def create(
    stream: StreamsOption = None,
    topic_prefix: TopicPrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create the topics of streams and their dead-letter topics where missing."""
    from rtmlops_lib.transport.factory import open_admin

    settings = load_settings(topic_prefix=topic_prefix)
    specs = chosen_specs(stream, settings)
    with open_admin(settings) as admin:
        created = admin.ensure_topics(specs)
    if as_json:
        print_json({"created": created})
        return
    for name in created:
        output().print(f"created {name}")
    if not created:
        names = ", ".join(spec.topic for spec in specs)
        output().print(f"all there: {names}")


@app.command(name="list")
def list_(as_json: JsonOption = False) -> None:
    """List all topics with their partitions, records and largest message."""
    from rtmlops_lib.transport.factory import open_admin

    settings = load_settings()
    with open_admin(settings) as admin:
        described = admin.describe()
        ends = admin.end_offsets(list(described))
        starts = admin.offsets(ends, "earliest")
    rows = [
        {
            "topic": topic.name,
            "topic_id": topic.topic_id,
            "partitions": topic.partitions,
            "replication_factor": topic.replication_factor,
            # An upper bound: markers and compacted records have offsets too.
            "records": sum(ends[p] - starts[p] for p in ends if p.topic == topic.name),
            "max_message_bytes": topic.max_message_bytes,
            "retention_ms": int(topic.configs.get("retention.ms", -1)),
        }
        for topic in sorted(described.values(), key=lambda topic: topic.name)
    ]
    if as_json:
        print_json(rows)
        return
    numbers = ("partitions", "replicas", "records", "largest message")
    table = new_table("topic", *numbers, numbers=numbers)
    for row in rows:
        table.add_row(
            str(row["topic"]),
            str(row["partitions"]),
            str(row["replication_factor"]),
            f"{row['records']:,}",
            f"{row['max_message_bytes']:,} B",
        )
    output().print(table)
