"""A Kafka that falls silent under the storage service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import lab_on
from tests.faults.test_storage_law import CONSUME, SHORT, assert_law
from tests.support.foreign import traffic
from tests.support.lab import Lab
from tests.support.own_kafka import OwnKafka
from tests.support.service import service
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults]


@pytest.fixture
def own_lab(
    broker: OwnKafka, database_url: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Lab]:
    with lab_on(database_url, broker.bootstrap, topic_prefix, tmp_path) as made:
        yield made


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_sigterm_while_kafka_is_silent_ends_within_ten_seconds(
    own_lab: Lab, broker: OwnKafka, client: str
) -> None:
    lab = own_lab
    sent = traffic(20_000, malformed=0.01, duplicates=0.02, seed=23)
    arguments = (*CONSUME, "--client", client)
    small = {**SHORT, "RTMLOPS_BATCH_MAX_ROWS": "200"}
    with service(lab.settings, lab.folder / "a.log", *arguments, **small) as storage:
        wait_until(lambda: "reading_from" in storage.output(), timeout=30, what="ready")
        places = lab.produce(sent.records)
        wait_until(lambda: lab.consumed() > 500, timeout=20, what="under way")
        broker.stall()
        try:
            # Long enough that a question to the broker is under way.
            time.sleep(2.5)
            began = time.monotonic()
            code = storage.terminate(timeout=15)
            assert time.monotonic() - began <= 10
            # 3 where letters were in hand, which nobody took.
            assert code in (0, 3), storage.output()[-2000:]
        finally:
            broker.go_on()
    with service(
        lab.settings, lab.folder / "b.log", *arguments, *("--until-idle", "1"), **SHORT
    ) as rest:
        assert rest.wait(60) == 0, rest.output()[-2000:]
    assert_law(lab, sent, places)
