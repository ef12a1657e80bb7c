"""The detector as a process: one score an event, one row an episode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.support.detector_lab import DetectorLab, simulated, spoiled
from tests.support.foreign import event
from tests.support.service import command, environment, get_json, get_metrics
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


@pytest.mark.parametrize("stream", ["datacenter", "services"])
@pytest.mark.parametrize("kind", ["plain", "timescale"])
def test_every_event_is_scored_once_and_anomalies_are_told_of(
    stream: str,
    kind: str,
    request: pytest.FixtureRequest,
    make_lab: Callable[..., DetectorLab],
) -> None:
    url = "database_url" if kind == "plain" else "timescale_url"
    lab = make_lab(request.getfixturevalue(url), stream)
    records = simulated(stream, hours=2)
    lab.produce(spoiled(records))
    running = lab.until_idle()
    scores = lab.scores()
    assert len(scores) == sum(scores.values()) == len(records)
    episodes = list(lab.episodes())
    assert episodes
    for name, series, started, ended, peak, confirmed, *_ in episodes:
        assert name == stream and started <= peak <= ended
        assert started <= confirmed <= ended
        assert series.count("/") == len(lab.spec.series_key) - 1
    output = running.output()
    assert '"models": "none"' in output and '"event": "witnesses"' in output


def test_starts_at_once_without_a_registry_and_shows_what_it_does(
    lab: DetectorLab,
) -> None:
    (port,) = free_ports(1)
    lab.produce([(b"a", b"{"), (b"a", b"[]"), *simulated("datacenter", hours=0.2)])
    with lab.run("--metrics-port", str(port)) as running:
        wait_until(
            lambda: get_json(port, "/readyz")[0] == 200, timeout=40, what="it is ready"
        )
        wait_until(lambda: len(lab.scores()) == 864, timeout=20, what="all is scored")
        labels = 'service="detector",stream="datacenter_anomalies"'
        # Counted once the rows are there to be seen.
        wait_until(
            lambda: get_metrics(port).get(f"rtmlops_rows_total{{{labels}}}") == 864,
            timeout=20,
            what="all is counted",
        )
        found = get_metrics(port)
        assert running.terminate() == 0
    for model in ("power", "forest"):
        name = f'rtmlops_registry_up{{model="{model}",stream="datacenter"}}'
        assert found[name] == 0
    rejected = [v for n, v in found.items() if n.startswith("rtmlops_rejected_total")]
    assert sum(rejected) == 2
    assert lab.dead_letters() == [], "these are the storage service's"


def test_a_restart_learns_nothing_anew_and_says_nothing_twice(
    lab: DetectorLab,
) -> None:
    records = simulated("datacenter", hours=2)
    for part in (records[:3000], records[3000:6000], records[6000:]):
        lab.produce(part)
        running = lab.until_idle()
    assert "learning_again" not in running.output()
    lab.assert_same_as_undisturbed()


def test_a_damaged_snapshot_is_refused_by_name_and_learned_again(
    lab: DetectorLab,
) -> None:
    schema = lab.settings.database_schema
    records = simulated("datacenter", hours=1)
    lab.produce(records[:2000])
    lab.until_idle()
    lab.sql(
        f"UPDATE {schema}.detector_state "
        "SET snapshot = overlay(snapshot PLACING 'xyz'::bytea FROM 100)"
    )
    lab.produce(records[2000:])
    second = lab.until_idle()
    assert "is damaged" in second.output()
    assert '"from_snapshot": false' in second.output()
    # All of history was still in the log, so that not even a digit is lost.
    lab.assert_same_as_undisturbed()


def test_a_lost_state_is_learned_from_history(lab: DetectorLab) -> None:
    schema = lab.settings.database_schema
    records = simulated("datacenter", hours=1)
    lab.produce(records[:2000])
    lab.until_idle()
    lab.sql(f"DELETE FROM {schema}.detector_state")
    lab.produce(records[2000:])
    lab.until_idle()
    lab.assert_same_as_undisturbed()


def test_a_group_that_begins_at_the_end_knows_what_was_before(
    lab: DetectorLab,
) -> None:
    records = simulated("datacenter", hours=1)
    lab.produce(records[:3000])
    with lab.run("--from", "latest", "--until-idle", "1") as running:
        assert running.wait(90) == 0, running.output()
    assert running.output().count("learning_again") == lab.spec.partitions
    assert lab.scores() == {} == lab.episodes()
    lab.produce(records[3000:])
    lab.until_idle()
    # Scored as if it had read everything from the beginning.
    lab.until_idle("undisturbed")
    mine, whole = lab.scores(), lab.scores("undisturbed")
    assert len(mine) == len(records) - 3000 and mine <= whole


def test_two_detectors_do_not_touch_what_the_other_says(lab: DetectorLab) -> None:
    lab.produce(simulated("datacenter", hours=0.5))
    lab.until_idle("first")
    lab.until_idle("second")
    assert lab.scores("first") == lab.scores("second") != {}
    assert lab.episodes("first") == lab.episodes("second")


def test_a_series_on_two_partitions_is_counted_and_warned_about_once(
    lab: DetectorLab,
) -> None:
    for step in range(6):
        value = json.dumps(event(1, step)).encode()
        lab.produce([(b"k", value)], partition=step % 2)
    (port,) = free_ports(1)
    with lab.run("--metrics-port", str(port)) as running:
        wait_until(lambda: len(lab.scores()) == 6, timeout=40, what="all is scored")
        found = get_metrics(port)
        assert running.terminate() == 0
    labels = 'service="detector",stream="datacenter"'
    assert found[f"rtmlops_split_series_total{{{labels}}}"] == 1
    assert running.output().count("series_on_two_partitions") == 1


def test_rows_that_the_store_refuses_become_letters_of_the_group(
    lab: DetectorLab,
) -> None:
    schema = lab.settings.database_schema
    lab.sql(
        f"ALTER TABLE {schema}.anomalies ADD CONSTRAINT no_13 "
        "CHECK (server_id <> 'srv-013')"
    )
    records = [
        (b"k", json.dumps(event(server, step)).encode())
        for step in range(40)
        for server in (12, 13, 14)
    ]
    places = lab.produce([*records, (b"k", b"{")])
    lab.until_idle()
    assert len(lab.scores()) == 80
    letters = lab.dead_letters(".default.dlq")
    refused = {places[n] for n in range(len(records)) if n % 3 == 1}
    assert {(x.partition, x.offset) for x in letters} == refused
    assert {x.reason for x in letters} == {"refused_by_store"}
    assert lab.dead_letters() == []
    shown = subprocess.run(
        command("dlq", "list", "--group", "default", "--json"),
        env=environment(lab.settings),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    listed = json.loads(shown.stdout)
    assert {(x["partition"], x["offset"]) for x in listed} == refused
