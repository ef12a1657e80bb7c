"""From a change of the world to a recovered error, without a human hand."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.support.loop_lab import HOUR, Feed, LoopLab
from tests.support.power_rows import START
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]

LEARNED = 30.0
CHANGE = LEARNED + 8


def test_a_change_of_the_power_curve_is_found_learned_and_served(lab: LoopLab) -> None:
    assert lab.first_champion(LEARNED).promoted
    begun = time.monotonic()
    marks: dict[str, tuple[float, float]] = {}

    def mark(name: str) -> None:
        marks[name] = (time.monotonic() - begun, feed.hour - CHANGE)
        print(f"{name}: {marks[name][0]:.1f} s, {marks[name][1]:+.1f} h")

    parts = [(LEARNED, CHANGE, 1.0), (CHANGE, CHANGE + 120, 1.2)]
    feed = Feed(lab, parts)
    with lab.running("storage", "predictor", "monitor", "trainer") as services:
        lab.wait_until_reading("storage", "predictor")
        with feed:
            wait_until(lambda: feed.hour >= CHANGE, timeout=60, what="it changes")
            mark("changed")
            wait_until(
                lambda: lab.alert_is_open("model_error"), timeout=40, what="an alert"
            )
            mark("alert")
            job = wait_until(lab.jobs, timeout=20, what="a training is asked for")[0]
            mark("job")
            wait_until(lambda: not lab.jobs()[0].open, timeout=90, what="it is trained")
            mark("trained")
            wait_until(
                lambda: any(row[0] == 2 for row in lab.champions()),
                timeout=20,
                what="the new version serves",
            )
            mark("served")
            served = lab.champions()[-1][1]
            until = served + 7 * HOUR
            wait_until(lambda: feed.moment > until, timeout=30, what="it served")
            mark("recovered")
        wait_until(lambda: lab.all_is_done, timeout=40, what="all is predicted")
        for name in reversed(services):
            assert services[name].terminate() == 0, name
    changed = START + CHANGE * HOUR
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
