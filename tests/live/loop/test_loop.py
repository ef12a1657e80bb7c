"""From a change of the world to a recovered error, without a human hand."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from rtmlops_lib.errors import CheckFailed
from rtmlops_lib.models.aliases import Move
from tests.support.loop_lab import FAST, HOUR, SLOW, Feed, LoopLab, simulated
from tests.support.power_rows import START
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(600)]

# As long as the trainer waits after a change: both champions know as much.
LEARNED = 30.0
STATIONARY = 8.0


@pytest.mark.parametrize("loop_database", ["plain", "timescale"], indirect=True)
def test_a_change_of_the_power_curve_is_found_learned_and_served(lab: LoopLab) -> None:
    lab.first_champion(LEARNED)
    begun = time.monotonic()
    marks: dict[str, tuple[float, float]] = {}
    feed = Feed(lab, LEARNED, ahead=2)
    change = 0.0

    def mark(name: str) -> None:
        marks[name] = (time.monotonic() - begun, feed.hour - change)
        print(f"{name}: {marks[name][0]:.1f} s, {marks[name][1]:+.1f} h")

    with lab.running("storage", "predictor", "monitor", "trainer") as services:
        lab.wait_until_reading("storage", "predictor")
        begun = time.monotonic()
        with feed:
            feed.wait_until(LEARNED + STATIONARY)
            change = feed.change(1.2)
            mark("changed")
            wait_until(
                lambda: lab.alert_is_open("model_error"),
                timeout=180,
                every=0.2,
                what="an alert",
            )
            mark("alert")
            job = wait_until(lab.jobs, timeout=120, every=0.2, what="a job")[0]
            mark("job")
            feed.ahead = None
            feed.wait_until(change + 31)
            mark("rows")
            feed.seconds_an_hour = SLOW
            done = wait_until(
                lambda: lab.ended(job), timeout=180, every=0.2, what="it is trained"
            )
            mark("trained")
            assert done.state == "succeeded", done.outcome
            wait_until(
                lambda: any(row[0] == 2 for row in lab.champions()),
                timeout=120,
                every=0.2,
                what="the new version serves",
            )
            mark("served")
            feed.seconds_an_hour = FAST
            served = lab.champions()[-1][1]
            until = served + 7 * HOUR
            wait_until(lambda: feed.moment > until, timeout=180, what="it served")
            mark("recovered")
        wait_until(lambda: lab.all_is_done, timeout=180, every=0.5, what="all is done")
        for name in reversed(services):
            assert services[name].terminate() == 0, name
    changed = START + change * HOUR
    before = lab.mape(START + (LEARNED + 1) * HOUR, changed)
    between = lab.mape(changed, changed + 3 * HOUR)
    after = lab.mape(served, served + 6 * HOUR)
    print(f"MAPE before {before:.4f}, changed {between:.4f}, after {after:.4f}")
    assert between > 3 * before
    assert after <= 1.2 * before
    order = [marks[n][0] for n in ("changed", "alert", "job", "trained", "served")]
    assert order == sorted(order)
    # Three of five windows, and those that were in hand meanwhile.
    assert marks["alert"][1] <= 7
    assert (job.trigger, job.requested_by) == ("error_alert", "monitor")
    found = datetime.fromisoformat(job.options["change_point"])
    assert abs(found - changed) <= HOUR / 2
    assert len(lab.jobs()) == 1
    assert lab.registry.version(lab.name, 2).tags["change_point"] is not None
    assert not lab.alert_is_open("model_error")


def test_a_worse_challenger_scores_in_shadow_and_never_takes_over(
    lab: LoopLab,
) -> None:
    lab.first_champion(LEARNED)
    with lab.running("storage", "predictor", "monitor", "trainer"):
        lab.wait_until_reading("storage", "predictor")
        with Feed(lab, LEARNED, seconds_an_hour=SLOW) as feed:
            job = lab.ask(settings={"kind": "linear"})
            done = wait_until(
                lambda: lab.ended(job), timeout=180, every=0.2, what="it is judged"
            )
            assert (done.state, done.version) == ("refused", 2), done.outcome
            wait_until(
                lambda: ("challenger", 2) in {row[:2] for row in lab.served()},
                timeout=120,
                every=0.2,
                what="it scores in shadow",
            )
            feed.seconds_an_hour = FAST
            feed.wait_until(feed.hour + 6)
        wait_until(lambda: lab.all_is_done, timeout=180, every=0.5, what="all is done")
    version = lab.registry.version(lab.name, 2)
    assert version.tags["refused"] == done.outcome
    assert "lower error" in done.outcome
    assert lab.registry.aliases(lab.name) == {"champion": 1, "challenger": 2}
    assert [row[0] for row in lab.champions()] == [1]
    worse = {row[:2]: row[3] for row in lab.served()}
    assert worse["challenger", 2] > worse["champion", 1]
    assert [job.id for job in lab.jobs()] == [done.id]


def test_a_version_that_passes_the_gate_and_fails_in_probation_is_rolled_back(
    lab: LoopLab,
) -> None:
    lab.first_champion(LEARNED)
    # A day in which the world was another, and is learned as such.
    lab.store.backfill([simulated(LEARNED, LEARNED + 30.5, power_curve=1.2)])
    learned = START + LEARNED * HOUR
    with lab.running("storage", "predictor", "monitor", "trainer"):
        lab.wait_until_reading("storage", "predictor")
        with Feed(lab, LEARNED + 30.5, power_curve=1.2, seconds_an_hour=SLOW) as feed:
            job = lab.ask(change_point=learned.isoformat())
            done = wait_until(
                lambda: lab.ended(job), timeout=180, every=0.2, what="it is judged"
            )
            assert (done.state, done.version) == ("succeeded", 2), done.outcome
            wait_until(
                lambda: ("previous", 1) in {row[:2] for row in lab.served()},
                timeout=120,
                every=0.2,
                what="the former champion scores in shadow",
            )
            feed.change(1.0)
            feed.seconds_an_hour = FAST
            wait_until(
                lambda: lab.registry.aliases(lab.name).get("champion") == 1,
                timeout=180,
                every=0.2,
                what="it is rolled back",
            )
            wait_until(
                lambda: lab.last_champion() == 1,
                timeout=120,
                every=0.2,
                what="the former champion serves again",
            )
            feed.wait_until(feed.hour + 4)
        wait_until(lambda: lab.all_is_done, timeout=180, every=0.5, what="all is done")
    assert lab.registry.aliases(lab.name) == {"champion": 1}
    reason = lab.registry.version(lab.name, 2).rolled_back
    assert reason is not None and reason.startswith("probation: MAPE")
    (probation,) = lab.store.probations.newest()
    assert (probation.version, probation.former_version) == (2, 1)
    assert probation.state == "rolled_back"
    assert probation.detail["mape"] > probation.detail["former_mape"]
    assert lab.alert_is_open("model_rollback")
    # Held for the cooldown, and never promoted again.
    assert [one.id for one in lab.jobs()] == [job.id]
    with pytest.raises(CheckFailed, match="rolled back"):
        lab.move(Move.promote(2, forced=True))
