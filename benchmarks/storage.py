"""The storage service beside the bare loop and its peer."""

from __future__ import annotations

import statistics

from rich.console import Console
from rich.table import Table

from benchmarks.bench import Bench


def print_storage(
    bench: Bench, clients: tuple[str, ...], repeat: int, quix: bool
) -> None:
    """Print the storage service beside the bare loop and its peer."""
    clean, repeats = bench.preload(), bench.preload(duplicates=0.02)
    table = Table(title=f"Storage, {bench.events:,} events, 3 partitions, unique key")
    for column in ("what", "events/s", "ratio", "peak MB", "dead tuples"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for client in clients:
        bare, ours, twos = [], [], []
        for _ in range(repeat):
            bare.append(_bare(bench, client, clean))
            ours.append(bench.service("storage", client, clean))
            twos.append(bench.service("storage", client, repeats))
        yardstick = statistics.median(bare)
        speed = statistics.median(x.events_per_second for x in ours)
        with_two = statistics.median(x.events_per_second for x in twos)
        table.add_row(f"{client}: bare loop", f"{yardstick:,.0f}", "1.00", "", "")
        table.add_row(
            f"{client}: storage",
            f"{speed:,.0f}",
            f"{speed / yardstick:.2f} of bare",
            f"{max(x.peak_mb for x in ours):.0f}",
            f"{max(x.dead_share for x in ours):.2%}",
        )
        table.add_row(
            f"{client}: storage, 2 % duplicates",
            f"{with_two:,.0f}",
            f"{with_two / speed:.2f} of its own",
            f"{max(x.peak_mb for x in twos):.0f}",
            f"{max(x.dead_share for x in twos):.2%}",
        )
    if quix:
        table.add_row("quix-streams: PostgreSQL sink", f"{_quix(bench, clean):,.0f}")
    Console().print(table)


def _bare(bench: Bench, client: str, topic: str) -> float:
    """Return events/s of the bare loop."""
    schema = bench.fresh_schema()
    bench.sql(
        f"CREATE TABLE {schema}.bare (time timestamptz, server_id text, "
        "cpu_usage float8, temperature float8, power_kw float8, "
        "network_gbps float8, PRIMARY KEY (server_id, time))"
    )
    arguments = (bench.settings.kafka_bootstrap_servers, topic, bench.url)
    done = bench.child(
        "benchmarks.bare", client, *arguments, f"{schema}.bare", bench.events
    )
    bench.drop(schema)
    return done["rows"] / done["seconds"]


def _quix(bench: Bench, topic: str) -> float:
    """Return events/s of quix-streams' PostgreSQL sink."""
    schema = bench.fresh_schema()
    done = bench.child(
        "benchmarks.quix",
        bench.settings.kafka_bootstrap_servers,
        topic,
        bench.url,
        schema,
        bench.events,
    )
    bench.drop(schema)
    return done["rows"] / done["seconds"]
