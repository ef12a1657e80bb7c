"""Scores and episodes are those of a detector that nothing ever happened to."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmlops_lib.errors import RtmlopsError
from rtmlops_lib.settings import Settings
from tests.support.detector_lab import DetectorLab, Record, simulated, spoiled
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.faults]

# Small batches, so that there is a way on which to be killed.
SMALL = {"RTMLOPS_BATCH_MAX_ROWS": "200"}


@pytest.fixture(params=["plain", "timescale"])
def lab(
    request: pytest.FixtureRequest,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
) -> Iterator[DetectorLab]:
    """A lab on either kind of database, with no registry in reach."""
    url = "database_url" if request.param == "plain" else "timescale_url"
    settings = Settings(
        kafka_bootstrap_servers=kafka_bootstrap,
        database_url=request.getfixturevalue(url),
        database_schema=topic_prefix.strip("-"),
        topic_prefix=topic_prefix,
        mlflow_tracking_uri="http://127.0.0.1:9",
        home=tmp_path / "home",
    )
    made = DetectorLab(settings, tmp_path)
    made.create()
    yield made
    made.delete_topic()
    made.sql(f"DROP SCHEMA {settings.database_schema} CASCADE")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_holds_while_the_detector_is_killed_at_random_moments(
    lab: DetectorLab,
) -> None:
    records = spoiled(simulated("datacenter", hours=8))
    lab.produce(records)
    rng, kills = random.Random(7), 12
    for kill in range(kills):
        at = len(records) * (kill + 1) // (kills + 2) - rng.randrange(800)
        with lab.run(**SMALL) as running:
            wait_until(
                lambda at=at: lab.consumed_by() >= at,
                timeout=60,
                what=f"{at} records consumed before kill {kill}",
                every=0.005,
            )
            time.sleep(rng.random() / 20)
            running.kill()
    assert lab.consumed_by() < len(records), "every kill was on the way"
    lab.until_idle()
    lab.assert_same_as_undisturbed()


@pytest.mark.slow
def test_holds_while_partitions_move_between_two_members(lab: DetectorLab) -> None:
    records = spoiled(simulated("datacenter", hours=6))
    third = len(records) // 3
    lab.produce(records[:third])
    with lab.run(log="a.log", **SMALL) as first:
        wait_until(lambda: lab.consumed_by() > 500, timeout=60, what="under way")
        with lab.run(log="b.log", **SMALL) as second:
            wait_until(
                lambda: "reading_from" in second.output(),
                timeout=60,
                what="the second member owns a partition",
            )
            lab.produce(records[third : 2 * third])
            wait_until(
                lambda: lab.consumed_by() > third + 500, timeout=60, what="both read"
            )
            first.kill()
            lab.produce(records[2 * third :])
            wait_until(
                lambda: lab.consumed_by() == len(records), timeout=60, what="the end"
            )
            assert second.terminate() == 0
    assert "learning_again" in (lab.folder / "b.log").read_text()
    lab.assert_same_as_undisturbed()


def test_a_stopped_member_that_wakes_up_says_nothing_over_its_successor(
    lab: DetectorLab,
) -> None:
    """A zombie: it sleeps through its session, and wakes with records in hand."""
    records = spoiled(simulated("datacenter", hours=4))
    with lab.run(log="zombie.log", **SMALL) as zombie:
        wait_until(lambda: "reading_from" in zombie.output(), timeout=30, what="ready")
        lab.produce(records)
        wait_until(lambda: lab.consumed_by() > 1_000, timeout=30, what="under way")
        zombie.signal(signal.SIGSTOP)
        frozen = lab.consumed_by()
        with lab.run(log="heir.log") as heir:
            wait_until(
                lambda: lab.consumed_by() > min(frozen + 2_000, len(records) - 1),
                timeout=60,
                what="the heir writes",
            )
            zombie.signal(signal.SIGCONT)
            wait_until(
                lambda: lab.consumed_by() == len(records), timeout=60, what="the end"
            )
            assert heir.running
    lab.assert_same_as_undisturbed()


def test_a_topic_made_anew_is_learned_from_its_beginning(lab: DetectorLab) -> None:
    old = simulated("datacenter", hours=1)
    with lab.run() as running:
        lab.produce(old)
        wait_until(
            lambda: lab.consumed_by() == len(old), timeout=60, what="the old events"
        )
        lab.delete_topic()
        wait_until(lambda: _created(lab), timeout=30, what="the topic made anew")
        # More than before, so that the old offsets lie inside the new logs.
        new = [_renamed(record) for record in simulated("datacenter", hours=2, seed=9)]
        lab.produce(new)
        wait_until(
            lambda: len(lab.scores()) == len(old) + len(new),
            timeout=60,
            what="every new event is scored",
        )
        assert running.terminate() == 0
    lab.until_idle("undisturbed")
    said = lab.scores("undisturbed")
    assert len(said) == len(new)
    assert lab.scores() >= said
    assert lab.episodes() >= lab.episodes("undisturbed") != {}


def _renamed(record: Record) -> Record:
    key, value = record
    assert key is not None and value is not None
    return b"new-" + key, value.replace(key, b"new-" + key)


def _created(lab: DetectorLab) -> bool:
    try:
        lab.create_topic()
    except RtmlopsError:
        return False
    return True
