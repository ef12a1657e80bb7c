"""The laws of the decision, whatever the numbers."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.monitoring import DriftSettings, DriftVerdict, Memory
from rtmlops_lib.monitoring.advice import advise
from rtmlops_lib.monitoring.evidence import Evidence

SETTINGS = DriftSettings(min_effective_rows=0, cooldown=6)
shares = st.floats(0, 1)


def row(name, share, *, worth=100.0, threshold=0.5, p=None):
    return Evidence(
        name=name,
        kind="share",
        unit="share",
        effect=share,
        share=share,
        threshold=threshold,
        p_value=p,
        rows=100,
        effective_rows=worth,
        reference_effective_rows=10_000,
        chunks=50,
    )


def course(windows, settings=SETTINGS):
    memory, found = Memory(), []
    for at, rows in enumerate(windows):
        found.append(
            DriftVerdict.of_window(
                "input",
                tuple(rows),
                memory,
                settings,
                start=str(at),
                end=str(at + 1),
                window_rows=100,
                reference_id="r",
            )
        )
        memory = found[-1].after
    return found


histories = st.lists(st.tuples(shares, shares), min_size=1, max_size=30)


@given(histories)
def test_every_verdict_can_be_judged_again_after_json(history):
    for verdict in course([row("a", x), row("b", y)] for x, y in history):
        copy = DriftVerdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
        assert copy == verdict == copy.replay()


@given(histories)
def test_drift_begins_only_with_three_of_five_windows_over(history):
    found = course([row("a", x)] for x, _ in history)
    for at, verdict in enumerate(found):
        over = [x > 0.5 for x, _ in history[max(0, at - 4) : at + 1]]
        if sum(over) >= 3:
            assert verdict.state == "drift"
        elif at and found[at - 1].state != "drift":
            assert verdict.state != "drift"


@given(histories)
def test_alerts_are_apart_by_the_cooldown_and_only_while_there_is_drift(history):
    found = course([row("a", x)] for x, _ in history)
    alerts = [at for at, verdict in enumerate(found) if verdict.alert]
    assert all(found[at].state == "drift" for at in alerts)
    assert all(b - a > SETTINGS.cooldown for a, b in itertools.pairwise(alerts))
    drifts = [at for at, verdict in enumerate(found) if verdict.state == "drift"]
    assert bool(alerts) == bool(drifts)


@given(histories, st.integers(0, 9))
def test_p_values_inform_and_do_not_decide(history, digits):
    plain = course([row("a", x)] for x, _ in history)
    tested = course([row("a", x, p=10.0**-digits)] for x, _ in history)
    assert [v.state for v in plain] == [v.state for v in tested]


@given(st.lists(shares, min_size=1, max_size=12), st.integers(1, 400))
def test_nothing_is_said_below_the_effective_rows(values, worth):
    settings = DriftSettings(min_effective_rows=500)
    found = course(([row("a", x, worth=worth)] for x in values), settings)
    for at, verdict in enumerate(found):
        enough = (at + 1) * worth >= 500
        assert (verdict.state != "unknown") == enough
        assert (verdict.effective_rows >= 500) == enough


def test_a_feature_without_a_threshold_is_not_judged_and_does_not_silence_others():
    rows = [row("a", 1.0, threshold=None), row("b", 0.1)]
    verdict = course([rows])[0]
    assert verdict.feature_states == {"a": "unknown", "b": "stable"}
    assert "not judged: a (the reference holds 50 whole chunks" in verdict.reason


def test_error_outranks_inputs():
    calm, loud = course([[row("a", 0.0)]])[-1], course([[row("a", 1.0)]] * 3)[-1]
    assert advise(calm, calm) == "nothing"
    assert advise(calm, loud) == "warn"
    assert advise(loud, calm) == "retrain"
    assert advise(None, loud) == "warn"
    assert advise(loud, None) == "retrain"
    assert advise(None, None) == "nothing"
