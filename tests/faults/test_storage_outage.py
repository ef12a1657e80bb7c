"""Outages around the storage service: a silent database, a dead broker, a cut log."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport.factory import open_admin
from tests.faults.proxy import StallProxy
from tests.faults.test_storage_law import CONSUME, assert_law
from tests.support.foreign import event, traffic
from tests.support.lab import Lab
from tests.support.service import get_json, service
from tests.support.stacks import free_ports, scratch_stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults]


def test_a_database_that_falls_silent_is_waited_for_with_the_membership_kept(
    lab: Lab,
) -> None:
    sent = traffic(30_000, malformed=0.01, duplicates=0.02, seed=21)
    url = lab.settings.database_url.get_secret_value()
    (port,) = free_ports(1)
    with (
        StallProxy.before(url) as proxy,
        service(
            lab.settings,
            lab.folder / "storage.log",
            *CONSUME,
            "--metrics-port",
            str(port),
            RTMLOPS_DATABASE_URL=proxy.url(url),
            RTMLOPS_BATCH_MAX_ROWS="200",
            RTMLOPS_WRITE_DEADLINE_SECONDS="3",
        ) as storage,
    ):
        wait_until(lambda: "reading_from" in storage.output(), timeout=30, what="ready")
        places = lab.produce(sent.records)
        wait_until(lambda: lab.consumed() > 500, timeout=20, what="under way")
        proxy.stall()
        frozen = lab.consumed()
        wait_until(
            lambda: get_json(port, "/readyz")[0] == 503, timeout=15, what="not ready"
        )
        time.sleep(8)  # longer than the session: poll() must keep the membership
        assert lab.consumed() - frozen <= 200, "at most the batch whose COMMIT was sent"
        assert get_json(port, "/healthz")[0] == 200
        proxy.resume()
        wait_until(
            lambda: lab.consumed() == len(sent.records), timeout=60, what="all consumed"
        )
        wait_until(
            lambda: get_json(port, "/readyz")[0] == 200, timeout=15, what="ready again"
        )
        assert "partitions_dropped" not in storage.output()
        assert storage.terminate() == 0
    assert_law(lab, sent, places)


def test_sigterm_during_a_stalled_write_ends_within_ten_seconds(lab: Lab) -> None:
    sent = traffic(20_000, malformed=0, duplicates=0, seed=22)
    url = lab.settings.database_url.get_secret_value()
    with (
        StallProxy.before(url) as proxy,
        service(
            lab.settings,
            lab.folder / "storage.log",
            *CONSUME,
            RTMLOPS_DATABASE_URL=proxy.url(url),
            RTMLOPS_BATCH_MAX_ROWS="200",
        ) as storage,
    ):
        wait_until(lambda: "reading_from" in storage.output(), timeout=30, what="ready")
        places = lab.produce(sent.records)
        wait_until(lambda: lab.consumed() > 500, timeout=20, what="under way")
        proxy.stall()
        time.sleep(0.5)
        started = time.monotonic()
        code = storage.terminate(timeout=15)
        assert time.monotonic() - started <= 10
        assert code == 3, "a deadline missed is no success"
    with service(
        lab.settings, lab.folder / "rest.log", *CONSUME, "--until-idle", "1"
    ) as rest:
        assert rest.wait(90) == 0
    assert_law(lab, sent, places)


def test_offsets_that_kafka_dropped_are_counted_and_alerted(lab: Lab) -> None:
    old = [(b"k", json.dumps(event(1, n)).encode()) for n in range(100)]
    lab.produce(old, partition=0)
    with service(
        lab.settings, lab.folder / "a.log", *CONSUME, "--until-idle", "0.5"
    ) as first:
        assert first.wait(60) == 0
    more = [(b"k", json.dumps(event(2, n)).encode()) for n in range(100)]
    lab.produce(more, partition=0)
    with open_admin(lab.settings) as admin:
        admin.delete_records({TopicPartition(lab.spec.topic, 0): 150})
    with service(
        lab.settings, lab.folder / "b.log", *CONSUME, "--until-idle", "0.5"
    ) as second:
        assert second.wait(60) == 0, second.output()[-2000:]
    assert lab.count() == 150
    schema = lab.settings.database_schema
    ((kind, lost),) = lab.sql(
        f"SELECT kind, detail ->> 'events_lost' FROM {schema}.alerts"
    )
    assert (kind, lost) == ("events_lost", "50")


def test_a_stored_offset_above_the_end_waits_for_a_human(lab: Lab) -> None:
    lab.produce([(b"k", json.dumps(event(1, 0)).encode())], partition=0)
    with service(
        lab.settings, lab.folder / "a.log", *CONSUME, "--until-idle", "0.5"
    ) as first:
        assert first.wait(60) == 0
    schema = lab.settings.database_schema
    lab.sql(f"UPDATE {schema}.stream_offsets SET next_offset = 77 WHERE partition = 0")
    (port,) = free_ports(1)
    with service(
        lab.settings, lab.folder / "b.log", *CONSUME, "--metrics-port", str(port)
    ) as second:
        wait_until(
            lambda: "offsets reset" in str(get_json(port, "/readyz")[1]),
            timeout=30,
            what="the remedy in /readyz",
        )
        assert second.running
        assert lab.count() == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_broker_killed_under_load_costs_nothing(tmp_path: Path) -> None:
    """The producer retries, the service waits; nobody restarts anything by hand."""
    with scratch_stack(postgres="embedded") as (stack, info):
        settings = stack.settings.model_copy(
            update={
                "kafka_bootstrap_servers": info.kafka_bootstrap_servers,
                "database_url": SecretStr(info.database_url),
                "topic_prefix": "broker-",
                "database_schema": "broker",
            }
        )
        lab = Lab(settings, tmp_path)
        lab.create()
        sent = traffic(20_000, malformed=0.01, duplicates=0.02, seed=31)
        small = {"RTMLOPS_BATCH_MAX_ROWS": "200"}
        with service(settings, tmp_path / "storage.log", *CONSUME, **small) as storage:
            wait_until(
                lambda: "reading_from" in storage.output(), timeout=40, what="ready"
            )
            places = lab.produce(sent.records)
            wait_until(lambda: lab.consumed() > 1_000, timeout=20, what="under way")
            (pid,) = [part.pid for part in stack.status() if part.name == "kafka"]
            os.kill(pid, signal.SIGKILL)
            wait_until(
                lambda: lab.consumed() == len(sent.records),
                timeout=120,
                what="all consumed after the broker came back",
            )
            assert storage.terminate() == 0
        assert_law(lab, sent, places)
