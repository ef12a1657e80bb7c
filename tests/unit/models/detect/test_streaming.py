"""The streaming detector: causal, indifferent to batches and units, restorable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models.detect import DetectorSettings, Scores, StreamingDetector

METRICS = ("cpu_usage", "power_kw")
STEP_US = 10_000_000


def history(rows: int = 900, servers: int = 3, seed: int = 0):
    """Rows as they come: interleaved, one server now and then absent, some NaN."""
    random = np.random.default_rng(seed)
    tick = np.repeat(np.arange(rows // servers), servers)
    who = np.tile(np.arange(servers), rows // servers)
    cpu = 40 + 5 * who + 2 * random.standard_normal(len(who))
    power = 1 + cpu / 50 + 0.02 * random.standard_normal(len(who))
    cpu[random.random(len(who)) < 0.02] = np.nan
    kept = random.random(len(who)) > 0.05
    names = np.array([f"srv-{i}" for i in who], object)[kept]
    time = (1_000 + tick[kept]) * STEP_US
    return names, time, {"cpu_usage": cpu[kept], "power_kw": power[kept]}


def fed(detector: StreamingDetector, rows, edges=()) -> np.ndarray:
    names, time, values = rows
    bounds = [0, *sorted(set(edges)), len(time)]
    parts = [
        detector.score(
            names[a:b], time[a:b], {m: x[a:b] for m, x in values.items()}
        ).score
        for a, b in pairwise(bounds)
        if b > a
    ]
    return np.concatenate(parts)


@given(st.lists(st.integers(1, 850), max_size=12), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_the_cut_into_batches_changes_no_score(edges, seed):
    rows = history(seed=seed)
    edges = [e for e in edges if e < len(rows[1])]
    whole = fed(StreamingDetector(METRICS), rows)
    parts = fed(StreamingDetector(METRICS), rows, edges)
    np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-15)


@given(st.integers(1, 800))
@settings(max_examples=15, deadline=None)
def test_a_restored_detector_goes_on_as_if_nothing_had_happened(cut):
    names, time, values = rows = history()
    whole = fed(StreamingDetector(METRICS), rows)
    first = StreamingDetector(METRICS)
    fed(first, (names[:cut], time[:cut], {m: x[:cut] for m, x in values.items()}))
    second = StreamingDetector.restore(first.snapshot())
    rest = fed(
        second, (names[cut:], time[cut:], {m: x[cut:] for m, x in values.items()})
    )
    np.testing.assert_allclose(rest, whole[cut:], rtol=1e-12, atol=1e-15)


def test_later_rows_change_no_earlier_score():
    names, time, values = history()
    altered = {m: np.r_[x[:500], x[500:] * 7 + 3] for m, x in values.items()}
    whole = fed(StreamingDetector(METRICS), (names, time, values))
    other = fed(StreamingDetector(METRICS), (names, time, altered))
    assert np.array_equal(whole[:500], other[:500])
    assert not np.array_equal(whole[500:], other[500:])


def test_other_series_change_no_score_of_this_one():
    names, time, values = history()
    one = names == "srv-1"
    whole = fed(StreamingDetector(METRICS), (names, time, values))
    alone = fed(
        StreamingDetector(METRICS),
        (names[one], time[one], {m: x[one] for m, x in values.items()}),
    )
    np.testing.assert_allclose(alone, whole[one], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("factor", "offset"), [(1000.0, 0.0), (1.8, 32.0), (1e-6, 0)])
def test_the_unit_of_a_metric_does_not_matter(factor, offset):
    names, time, values = history()
    converted = {m: factor * x + offset for m, x in values.items()}
    expected = fed(StreamingDetector(METRICS), (names, time, values))
    found = fed(StreamingDetector(METRICS), (names, time, converted))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_jump_is_found_at_once_and_named():
    names, time, values = history()
    struck = np.flatnonzero(names == "srv-2")[200]
    values["power_kw"][struck] += 2
    detector = StreamingDetector(METRICS)
    scores = detector.score(names, time, values)
    assert np.flatnonzero(scores.flagged).tolist() == [struck]
    assert scores.metric_names[struck] == "power_kw"
    assert scores.explain(struck).startswith("power_kw is ")
    assert "above the expected" in scores.explain(struck)


def test_a_lasting_new_level_becomes_normal():
    random = np.random.default_rng(1)
    level = np.where(np.arange(4_000) < 1_000, 10.0, 30.0)
    x = level + random.standard_normal(4_000)
    names = np.full(4_000, "a", object)
    time = np.arange(1, 4_001) * STEP_US
    scores = StreamingDetector(["x"]).score(names, time, {"x": x})
    assert scores.flagged[1_000]
    assert scores.flagged[1_000:1_300].mean() > 0.5
    assert not scores.flagged[3_500:].any()


def test_the_daily_course_is_no_anomaly_once_known():
    rows = 8 * 1_440  # eight days by the minute
    minute = np.arange(rows)
    random = np.random.default_rng(2)
    # A batch job that doubles the load each night at two.
    x = 20 + 40 * ((minute // 60) % 24 == 2) + random.standard_normal(rows)
    names = np.full(rows, "a", object)
    scores = StreamingDetector(["x"]).score(
        names, (minute + 1_000_000) * 60_000_000, {"x": x}
    )
    by_day = scores.flagged.reshape(8, -1).sum(axis=1)
    assert by_day[6:].sum() < by_day[:2].sum()


def test_a_fresh_series_is_scored_zero_until_it_has_a_history():
    names, time, values = history()
    scores = StreamingDetector(METRICS).score(names, time, values)
    assert not scores.score[:100].any()
    assert scores.metric_names[0] is None
    assert "nothing is known" in scores.explain(0)


def test_absent_and_huge_values_are_survived():
    names, time, values = history()
    values["cpu_usage"][300:310] = np.nan
    values["power_kw"][310] = 1e300
    values["power_kw"][311] = -np.inf
    scores = StreamingDetector(METRICS).score(names, time, values)
    assert np.isfinite(scores.score).all()
    assert scores.score.min() >= 0 and scores.score.max() <= 1
    assert scores.flagged[310]


def test_no_rows_give_no_scores():
    empty = np.empty(0)
    scores = StreamingDetector(["x"]).score(
        np.empty(0, object), np.empty(0, np.int64), {"x": empty}
    )
    assert len(scores) == 0 and isinstance(scores, Scores)


def test_normal_rows_are_flagged_no_oftener_than_promised():
    names, time, values = history(rows=90_000, servers=10, seed=5)
    scores = StreamingDetector(METRICS).score(names, time, values)
    alarm_p = DetectorSettings().alarm_p
    assert scores.flagged.mean() < 3 * alarm_p


@pytest.mark.parametrize("damage", [b"", b"RTMS", b"nonsense that is long enough"])
def test_a_damaged_snapshot_is_refused(damage):
    with pytest.raises(UsageError, match="damaged"):
        StreamingDetector.restore(damage)


def test_a_flipped_bit_in_a_snapshot_is_refused():
    detector = StreamingDetector(METRICS)
    fed(detector, history())
    data = bytearray(detector.snapshot())
    data[len(data) // 2] ^= 1
    with pytest.raises(UsageError, match="damaged"):
        StreamingDetector.restore(bytes(data))


def test_tuples_as_series_survive_a_snapshot():
    detector = StreamingDetector(["x"])
    names = np.empty(2, object)
    names[:] = [("search", "srv-1"), ("orders", "srv-1")]
    detector.score(names, np.array([1, 1]), {"x": np.array([1.0, 2.0])})
    assert StreamingDetector.restore(detector.snapshot()).series == tuple(names)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="alarm_p"):
        DetectorSettings(alarm_p=0.5)
