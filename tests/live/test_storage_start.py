"""Where a new group of storage services starts, over a real Kafka and PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.factory import open_admin
from tests.support.foreign import event
from tests.support.lab import Lab
from tests.support.service import service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


def records(server: int, count: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"k%d" % step, json.dumps(event(server, step)).encode())
        for step in range(count)
    ]


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_from_latest_skips_what_was_there_and_nothing_that_comes(
    settings: Settings, topic_prefix: str, tmp_path: Path, client: str
) -> None:
    schema = topic_prefix.strip("-")
    lab = Lab(
        settings.model_copy(
            update={"database_schema": schema, "topic_prefix": topic_prefix}
        ),
        tmp_path,
        partitions=2,
    )
    lab.create()
    for partition in (0, 1):
        lab.produce(records(partition, 50), partition=partition)
    arguments = ("consume", "storage", "--stream", "datacenter", "--from", "latest")
    arguments += ("--client", client)
    with (
        service(lab.settings, tmp_path / "a.log", *arguments) as first,
        service(lab.settings, tmp_path / "b.log", *arguments) as second,
    ):
        wait_until(
            lambda: (
                "reading_from" in first.output() or "reading_from" in second.output()
            ),
            timeout=40,
            what="one of them has claimed",
        )
        # The other may not have asked yet for the partitions that it will own.
        lab.produce(records(10, 300))
        wait_until(lambda: lab.count() >= 300, timeout=20, what="the new events")
        with open_admin(lab.settings) as admin:
            admin._client.create_partitions({lab.spec.topic: 3})
            wait_until(
                lambda: len(admin.end_offsets([lab.spec.topic])) == 3,
                timeout=10,
                what="the partition is there",
            )
        lab.produce(records(20, 30), partition=2)
        wait_until(lambda: lab.count() >= 330, timeout=60, what="those of the new part")
    stored = {identity[0] for identity in lab.stored()}
    assert stored == {"srv-010", "srv-020"}
    assert lab.count() == 330
    lab.sql(f"DROP SCHEMA {schema} CASCADE")
