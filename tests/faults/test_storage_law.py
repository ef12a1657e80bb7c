"""The law: stored = distinct valid events; dead letters = the broken ones."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest

from tests.support.foreign import MALFORMED, Traffic, event, traffic
from tests.support.lab import Lab
from tests.support.service import get_json, service
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults]

# What the dead are waited for; the sessions of the other tests are as shipped.
SHORT = {
    "RTMLOPS_KAFKA_SESSION_TIMEOUT_MS": "2000",
    "RTMLOPS_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
}
CONSUME = ("consume", "storage", "--stream", "datacenter")


def assert_law(lab: Lab, sent: Traffic, places: dict[int, tuple[int, int]]) -> None:
    """Hold the table and the dead letters against what was sent."""
    assert lab.count() == len(sent.distinct)
    assert lab.stored() == sent.distinct
    letters = lab.dead_letters()
    found = {(x.partition, x.offset): x.reason for x in letters}
    keys = {letter.key for letter in letters}
    assert len(keys) == len(letters), "one key a place"
    assert found == {places[index]: reason for index, reason in sent.bad.items()}
    assert all(letter.detail for letter in letters)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("client", "count", "kills"),
    [("kafka-python", 200_000, 20), ("confluent", 40_000, 4)],
)
def test_holds_for_a_foreign_producer_while_storage_is_killed(
    lab: Lab, client: str, count: int, kills: int
) -> None:
    sent = traffic(count, malformed=0.01, duplicates=0.02, seed=11)
    ways = {reason for reason, _ in MALFORMED.values()}
    assert set(sent.bad.values()) == ways and len(MALFORMED) == 12
    places = lab.produce(sent.records)
    arguments = (*CONSUME, "--client", client)
    log, rng = lab.folder / "storage.log", random.Random(5)
    for kill in range(kills):
        at = count * (kill + 1) // (kills + 2) - rng.randrange(count // 40)
        # Small batches, so that there is a way on which to be killed.
        small = {"RTMLOPS_BATCH_MAX_ROWS": "500"}
        with service(lab.settings, log, *arguments, **small, **SHORT) as storage:
            wait_until(
                lambda at=at: lab.consumed() >= at,
                timeout=40,
                what=f"{at} records consumed before kill {kill}",
                every=0.005,
            )
            storage.kill()
    assert lab.consumed() < len(sent.records), "every kill was on the way"
    with service(lab.settings, log, *arguments, "--until-idle", "1") as storage:
        assert storage.wait(120) == 0, storage.output()[-2000:]
    assert_law(lab, sent, places)


def test_holds_on_timescaledb_with_kills(timescale_lab: Lab) -> None:
    lab = timescale_lab
    assert lab.sql(
        "SELECT count(*) FROM timescaledb_information.hypertables "
        f"WHERE hypertable_schema = '{lab.settings.database_schema}' "
        f"AND hypertable_name = '{lab.spec.table}'"
    ) == [(1,)]
    sent = traffic(40_000, malformed=0.01, duplicates=0.02, seed=12)
    places = lab.produce(sent.records)
    for goal in (10_000, 20_000):
        with service(
            lab.settings,
            lab.folder / "storage.log",
            *CONSUME,
            RTMLOPS_BATCH_MAX_ROWS="500",
        ) as storage:
            wait_until(
                lambda goal=goal: lab.consumed() >= goal,
                timeout=40,
                what=f"{goal} consumed",
                every=0.005,
            )
            storage.kill()
    with service(
        lab.settings, lab.folder / "storage.log", *CONSUME, "--until-idle", "1"
    ) as storage:
        assert storage.wait(60) == 0, storage.output()[-2000:]
    assert_law(lab, sent, places)


def test_sigterm_writes_what_is_in_hand_and_exits_zero(lab: Lab) -> None:
    sent = traffic(20_000, malformed=0.01, duplicates=0.02, seed=3)
    with service(lab.settings, lab.folder / "storage.log", *CONSUME) as storage:
        wait_until(lambda: "reading_from" in storage.output(), timeout=30, what="ready")
        places = lab.produce(sent.records)
        wait_until(lambda: lab.consumed() > 0, timeout=20, what="some consumed")
        assert storage.terminate(timeout=10) == 0
    with service(
        lab.settings, lab.folder / "rest.log", *CONSUME, "--until-idle", "1"
    ) as rest:
        assert rest.wait(60) == 0
    assert_law(lab, sent, places)


@pytest.mark.alone
def test_a_killed_member_is_replaced_and_storing_within_ten_seconds(lab: Lab) -> None:
    arguments = (*CONSUME, "--metrics-port", "0")
    with (
        service(lab.settings, lab.folder / "a.log", *arguments) as first,
        service(lab.settings, lab.folder / "b.log", *arguments) as second,
    ):
        wait_until(
            lambda: (
                "reading_from" in first.output() and "reading_from" in second.output()
            ),
            timeout=40,
            what="both members own a partition",
        )
        first.kill()
        records = [
            (f"k{n}".encode(), value)
            for n, (_, value) in enumerate(
                traffic(3_000, malformed=0, duplicates=0, seed=1).records
            )
        ]
        lab.produce(records)
        wait_until(
            lambda: lab.count() == 3_000, timeout=10, what="all rows, by the survivor"
        )


def test_a_stopped_member_that_wakes_up_writes_nothing_over_its_successor(
    lab: Lab,
) -> None:
    """A zombie: it sleeps through its session, and wakes with records in hand."""
    sent = traffic(60_000, malformed=0.01, duplicates=0.02, seed=8)
    small = {"RTMLOPS_BATCH_MAX_ROWS": "200"}
    with service(lab.settings, lab.folder / "zombie.log", *CONSUME, **small) as zombie:
        wait_until(lambda: "reading_from" in zombie.output(), timeout=30, what="ready")
        places = lab.produce(sent.records)
        wait_until(lambda: lab.consumed() > 1_000, timeout=20, what="under way")
        zombie.signal(signal.SIGSTOP)
        frozen = lab.consumed()
        with service(lab.settings, lab.folder / "heir.log", *CONSUME) as heir:
            wait_until(
                lambda: lab.consumed() > frozen + 2_000, timeout=30, what="heir writes"
            )
            zombie.signal(signal.SIGCONT)
            wait_until(
                lambda: lab.consumed() == len(sent.records), timeout=60, what="the end"
            )
            assert heir.running
    assert_law(lab, sent, places)


def test_a_topic_deleted_and_made_anew_is_read_from_its_beginning(lab: Lab) -> None:
    old = [
        (b"k", value)
        for _, value in traffic(500, malformed=0, duplicates=0, seed=1).records
    ]
    with service(lab.settings, lab.folder / "storage.log", *CONSUME) as storage:
        lab.produce(old, partition=0)
        wait_until(lambda: lab.count() == 500, timeout=40, what="the old events")
        lab.delete_topic()
        wait_until(lambda: _created(lab), timeout=20, what="the topic made anew")
        # More than before, so that the old offset lies inside the new log.
        new = [
            (b"k", _bytes(event(server=60 + n % 5, step=n // 5))) for n in range(800)
        ]
        lab.produce(new, partition=0)
        wait_until(lambda: lab.count() == 1_300, timeout=60, what="every new event")
        assert storage.running


def test_a_row_that_the_database_refuses_becomes_a_dead_letter(lab: Lab) -> None:
    lab.sql(
        f"ALTER TABLE {lab.table} ADD CONSTRAINT no_13 CHECK (server_id <> 'srv-013')"
    )
    sent = traffic(5_000, malformed=0, duplicates=0.02, seed=2)
    places = lab.produce(sent.records)
    with service(
        lab.settings, lab.folder / "storage.log", *CONSUME, "--until-idle", "1"
    ) as storage:
        assert storage.wait(60) == 0, storage.output()[-2000:]
    assert lab.stored() == {x for x in sent.distinct if x[0] != "srv-013"}
    refused = {
        places[i] for i, (key, _) in enumerate(sent.records) if key == b"srv-013"
    }
    letters = lab.dead_letters()
    assert {(x.partition, x.offset) for x in letters} == refused
    assert Counter(x.reason for x in letters).keys() == {"refused_by_store"}


def test_a_second_unique_index_refuses_rows_and_stops_nothing(lab: Lab) -> None:
    lab.sql(f"CREATE UNIQUE INDEX one_power ON {lab.table} (power_kw, time)")
    first, twin = event(server=1, step=0), event(server=2, step=0)
    twin["power_kw"] = first["power_kw"]
    records = [(b"srv-001", _bytes(first)), (b"srv-001", _bytes(twin))]
    records += [(b"srv-003", _bytes(event(server=3, step=n))) for n in range(50)]
    lab.produce(records, partition=0)
    with service(
        lab.settings, lab.folder / "storage.log", *CONSUME, "--until-idle", "1"
    ) as storage:
        assert storage.wait(60) == 0, storage.output()[-2000:]
    assert lab.count() == 51
    assert [(x.offset, x.reason) for x in lab.dead_letters()] == [
        (1, "refused_by_store")
    ]


def test_a_conflict_is_a_dead_letter_and_the_first_event_stays(lab: Lab) -> None:
    good = event(server=1, step=0)
    lab.produce(
        [
            (b"srv-001", _bytes(good)),
            (b"srv-001", _bytes({**good, "cpu_usage": 99.0})),
            (b"srv-001", _bytes(dict(reversed(good.items())))),
        ]
    )
    with service(
        lab.settings, lab.folder / "storage.log", *CONSUME, "--until-idle", "1"
    ) as storage:
        assert storage.wait(60) == 0, storage.output()[-2000:]
    assert lab.sql(f"SELECT cpu_usage FROM {lab.table}") == [(good["cpu_usage"],)]
    assert [(x.offset, x.reason) for x in lab.dead_letters()] == [(1, "conflict")]


def test_a_missing_table_makes_the_service_unready_with_a_remedy(
    lab: Lab,
) -> None:
    (free_port,) = free_ports(1)
    lab.sql(f"ALTER TABLE {lab.table} RENAME TO elsewhere")
    sent = traffic(100, malformed=0, duplicates=0, seed=4)
    lab.produce(sent.records)
    with service(
        lab.settings,
        lab.folder / "storage.log",
        *CONSUME,
        "--metrics-port",
        str(free_port),
    ) as storage:

        def reasons() -> str:
            status, body = get_json(free_port, "/readyz")
            return str(body) if status == 503 else ""

        wait_until(lambda: "db migrate" in reasons(), timeout=30, what="the remedy")
        assert get_json(free_port, "/healthz")[0] == 200
        assert storage.running
        schema = lab.settings.database_schema
        lab.sql(f"ALTER TABLE {schema}.elsewhere RENAME TO {lab.spec.table}")
        wait_until(lambda: lab.count() == 100, timeout=40, what="stored after mending")
    assert lab.dead_letters() == []


def _bytes(value: dict[str, object]) -> bytes:
    import json

    return json.dumps(value).encode()


def _created(lab: Lab) -> bool:
    from rtmlops_lib.errors import RtmlopsError

    try:
        lab.create_topic()
    except RtmlopsError:
        return False
    return True
