"""``make bench``: one command, one table a service, each figure beside its yardstick.

Each measurement runs in a process of its own against the same broker and database,
in turn, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys

from rich.console import Console

from benchmarks.bench import Bench
from benchmarks.detector import print_detector
from benchmarks.latency import print_latency
from benchmarks.predictor import print_predictor
from benchmarks.storage import print_storage
from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.logs import configure_logging
from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.factory import open_admin

CLIENTS = ("kafka-python", "confluent")
PARTS = ("storage", "latency", "predictor", "detector")
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="preloaded events")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; median")
    parser.add_argument("--no-quix", action="store_true", help="leave the peer out")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="these parts instead of all"
    )
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    clients = tuple(arguments.client or CLIENTS)
    settings = Settings.load()
    configure_logging("WARNING")
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )
    with open_admin(settings):
        pass  # nothing to measure, and to clean up after, without a broker
    bench = Bench(settings, arguments.events)
    try:
        if "storage" in parts:
            print_storage(bench, clients, arguments.repeat, not arguments.no_quix)
        if "latency" in parts:
            for client in clients:
                schema = bench.fresh_schema()
                print_latency(settings, schema, f"{schema}-", client)
                bench.drop(schema)
        if "predictor" in parts:
            print_predictor(bench, clients, arguments.repeat)
        if "detector" in parts:
            print_detector(bench, clients, arguments.repeat)
    finally:
        bench.close()


if __name__ == "__main__":
    try:
        main()
    except RtmlopsError as error:
        console.print(f"{error}; 'make bench' starts a stack of its own")
        sys.exit(error.exit_code)
