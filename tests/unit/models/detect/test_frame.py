"""detect_frame: causal, for anyone's table, with an answer or a reason."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models import detect_frame
from rtmlops_lib.models.detect import average_precision

MINUTE = pd.Timedelta("1min")
START = pd.Timestamp("2026-01-05", tz="UTC")


def clock(n: int, step=MINUTE) -> pd.DatetimeIndex:
    return pd.date_range(START, periods=n, freq=step)


def cycle(n: int = 1_500, period: int = 48, noise: float = 0.1, seed: int = 0):
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(n) / period
    wave = np.sin(phase) + 0.5 * np.cos(2 * phase)
    return wave + noise * random.standard_normal(n)


def scored(x, **columns) -> pd.DataFrame:
    return detect_frame(pd.DataFrame({"time": clock(len(x)), "x": x, **columns}))


@given(st.integers(100, 1_400), st.sampled_from([np.nan, 50.0, -3.0]))
@settings(max_examples=15, deadline=None)
def test_a_score_uses_no_later_row(cut, value):
    x = cycle()
    altered = np.where(np.arange(len(x)) < cut, x, value)
    whole, other = scored(x), scored(altered)
    np.testing.assert_allclose(
        whole.score[:cut], other.score[:cut], rtol=1e-8, atol=1e-10
    )
    part = scored(x[:cut])
    np.testing.assert_allclose(whole.score[:cut], part.score, rtol=1e-8, atol=1e-10)


def test_two_columns_are_scored_without_later_rows_too():
    x, y = cycle(seed=1), cycle(seed=2)
    part = scored(x[:900], y=y[:900])
    whole = scored(x, y=y)
    np.testing.assert_allclose(whole.score[:900], part.score, rtol=1e-8, atol=1e-10)


def struck(kind: str, seed: int):
    """A cycle with one anomaly from row 1,000 on; and where it is."""
    x = cycle(seed=seed)
    truth = np.zeros(len(x), bool)
    last = {"spike": 1_001, "context": 1_002}.get(kind, 1_048)
    truth[1_000:last] = True
    at = np.flatnonzero(truth)
    if kind == "spike":
        x[at] += 4
    elif kind == "context":
        x[at] = x[at - 24]  # right half a cycle earlier
    elif kind == "shift":
        x[at] += 2
    elif kind == "still":
        x[at] = x[at[0]]
    elif kind == "noisy":
        x[at] += np.random.default_rng(seed).standard_normal(len(at))
    elif kind == "reversed":
        x[at] = x[at][::-1]
    return x, truth


def rolling_z(x, width: int = 100):
    """What one would write in a minute, causal as well."""
    past = pd.Series(x).rolling(width, min_periods=width // 2)
    return ((x - past.mean().shift()) / past.std().shift()).abs().fillna(0).to_numpy()


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("spike", 0.9),
        ("context", 0.1),
        ("shift", 0.4),
        ("still", 0.8),
        ("noisy", 0.6),
        ("reversed", 0.6),
    ],
)
def test_each_kind_of_anomaly_ranks_high(kind, least):
    found, simple = [], []
    for seed in range(3):
        x, truth = struck(kind, seed)
        found.append(average_precision(truth, scored(x).score.to_numpy()))
        simple.append(average_precision(truth, rolling_z(x)))
    assert np.median(found) > least
    assert np.median(found) >= np.median(simple)


def test_the_first_turn_of_a_cycle_is_no_alarm():
    # Of a cycle of 48 nothing can be known after 32 rows.
    for seed in range(5):
        scores = scored(cycle(600, seed=seed))
        assert not scores.flagged.any()


def test_the_reason_names_what_is_odd():
    x = np.random.default_rng(0).standard_normal(1_500)
    x[1_000:1_040] = x[1_000]
    scores = scored(x)
    assert "stands still" in set(scores.reason[1_000:1_060].dropna())
    assert (scores.metric.dropna() == "x").all()


@pytest.mark.parametrize("columns", [1, 2, 3, 6])
@pytest.mark.parametrize("smooth", [1.0, 0.3])
def test_noise_is_hardly_ever_flagged(columns, smooth):
    share = []
    for seed in range(3):
        white = np.random.default_rng(seed).standard_normal((4_000, columns))
        noise = pd.DataFrame(white).ewm(alpha=smooth).mean()
        share.append(detect_frame(noise).flagged.mean())
    assert np.mean(share) < 0.002


@pytest.mark.parametrize(("factor", "offset"), [(1e6, 0.0), (1e-6, 0.0), (1.8, 32.0)])
def test_the_unit_does_not_matter(factor, offset):
    x, _ = struck("shift", 0)
    plain, converted = scored(x), scored(factor * x + offset)
    assert np.corrcoef(plain.score, converted.score)[0, 1] > 0.999


def test_rows_may_come_in_any_order():
    x, _ = struck("spike", 0)
    frame = pd.DataFrame({"time": clock(len(x)), "x": x})
    mixed = frame.sample(frac=1, random_state=1)
    scores = detect_frame(mixed)
    assert scores.index.equals(mixed.index)
    pd.testing.assert_frame_equal(scores.sort_index(), detect_frame(frame))


def test_series_are_scored_apart():
    x, y = cycle(seed=3), 100 + cycle(seed=4)
    frame = pd.DataFrame(
        {
            "time": np.repeat(clock(len(x)), 2),
            "server": np.tile(["a", "b"], len(x)),
            "x": np.stack([x, y], 1).ravel(),
        }
    )
    scores = detect_frame(frame, series_column="server")
    alone = scored(x).score
    np.testing.assert_allclose(
        scores.score[frame.server == "a"], alone, rtol=1e-8, atol=1e-10
    )


def test_a_broken_relation_between_columns_is_found():
    random = np.random.default_rng(5)
    shared = np.cumsum(random.standard_normal(2_000)) * 0.3
    a = shared + 0.2 * random.standard_normal(2_000)
    b = -shared + 0.2 * random.standard_normal(2_000)
    b[1_500:1_540] = -b[1_500:1_540] + 2 * b[1_500]
    b[1_500:1_540] += 3
    scores = detect_frame(pd.DataFrame({"a": a, "b": b}))
    assert 1_500 <= scores.score.argmax() < 1_545


def test_a_label_column_is_no_value():
    x, truth = struck("spike", 0)
    with_label = scored(x, label=truth.astype(int))
    assert set(with_label.metric.dropna()) <= {"x"}
    np.testing.assert_array_equal(with_label.score, scored(x).score)


@pytest.mark.parametrize(
    "x",
    [
        np.full(500, 7.0),
        np.zeros(500),
        np.r_[np.full(300, 1.0), np.full(200, np.nan)],
        np.r_[np.nan, np.arange(400.0)],
        np.full(500, 1e308),
        np.where(np.arange(500) % 50 == 0, np.inf, 1.0),
        np.arange(10.0),
        np.array([3.0]),
        np.where(np.arange(600) == 400, 1e300, 5.0),
    ],
    ids="constant zero ends begins huge infinite short single outlier".split(),
)
def test_odd_series_are_answered(x):
    with np.errstate(all="raise", under="ignore"):
        scores = scored(x)
    assert len(scores) == len(x)
    assert scores.score.between(0, 1).all()


def test_the_first_change_of_a_constant_is_flagged():
    x = np.full(600, 5.0)
    x[400] = 6.0
    scores = scored(x)
    assert scores.flagged[400]
    assert not scores.flagged[:400].any()


def test_gaps_and_repeated_times_are_answered():
    x = cycle()
    times = clock(len(x)).tz_localize(None).to_numpy().copy()
    times[700:] += np.timedelta64(3, "h")
    times[300] = times[299]
    scores = detect_frame(pd.DataFrame({"time": times, "x": x}))
    assert len(scores) == len(x)
    assert scores.attrs["step_seconds"] == 60


@pytest.mark.parametrize(
    "times",
    [
        clock(100).strftime("%Y-%m-%d %H:%M:%S"),
        clock(100).strftime("%Y-%m-%dT%H:%M:%S+02:00"),
        clock(100).tz_convert("Asia/Tokyo"),
        clock(100).tz_localize(None),
        np.arange(100) * 60,
        np.arange(100) * 60.0 + 1.7e9,
        np.arange(100) * 60_000 + 1_700_000_000_000,
        pd.to_timedelta(np.arange(100), "min"),
        np.arange(100) * 60_000_000_000 + 1_700_000_000_000_000_000,
    ],
    ids="text offset zoned naive numbers epoch epoch_ms since epoch_ns".split(),
)
def test_times_are_read_in_any_common_form(times):
    frame = pd.DataFrame({"time": times, "x": cycle(100)})
    assert detect_frame(frame).attrs["step_seconds"] == 60


@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 300),
    st.sampled_from(["1s", "17min", "1h", "irregular"]),
    st.floats(0, 0.5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_any_table_of_numbers_is_answered(columns, series, rows, step, gone, chance):
    random = np.random.default_rng(chance.randrange(2**32))
    times = clock(rows, pd.Timedelta("1s" if step == "irregular" else step))
    if step == "irregular":
        times = times + pd.to_timedelta(random.exponential(500, rows).cumsum(), "s")
    frame = pd.DataFrame(
        {f"x{i}": random.standard_t(2, rows).cumsum() for i in range(columns)}
    )
    frame = frame.mask(random.random(frame.shape) < gone)
    frame["time"], frame["s"] = times, random.integers(0, series, rows)
    frame = frame.sample(frac=1, random_state=1)
    if frame.drop(columns=["time", "s"]).isna().all(axis=None):
        return
    before = frame.copy()
    scores = detect_frame(frame, time_column="time", series_column="s")
    pd.testing.assert_frame_equal(frame, before)
    assert scores.index.equals(frame.index)
    assert scores.score.between(0, 1, inclusive="left").all()
    assert (scores.flagged == (scores.score >= 0.5)).all()
    again = detect_frame(frame, time_column="time", series_column="s")
    pd.testing.assert_frame_equal(scores, again)


def test_an_index_of_times_is_used():
    frame = pd.DataFrame({"x": cycle(100)}, index=clock(100))
    assert detect_frame(frame).attrs["step_seconds"] == 60


X = np.arange(50.0)


@pytest.mark.parametrize(
    ("frame", "arguments", "words"),
    [
        (pd.DataFrame({"x": []}), {}, "no rows"),
        (pd.DataFrame({"x": X}), {"time_column": "when"}, "no column 'when'"),
        (pd.DataFrame({"x": X}), {"value_columns": ["y"]}, "no column 'y'"),
        (pd.DataFrame({"x": ["a"] * 50}), {}, "no column holds numbers"),
        (
            pd.DataFrame({"x": ["1.5"] * 49 + ["broken"]}),
            {"value_columns": ["x"]},
            "row 50 holds 'broken'",
        ),
        (pd.DataFrame({"x": [np.nan] * 50}), {}, "no number"),
        (
            pd.DataFrame({"time": ["2026-01-01"] * 49 + ["tomorrow"], "x": X}),
            {},
            "row 50: 'tomorrow'",
        ),
        (
            pd.DataFrame({"x": X, "y": X}),
            {"time_column": "x", "value_columns": ["x"]},
            "cannot be a value as well",
        ),
        (pd.DataFrame(np.zeros((9, 2)), columns=["x", "x"]), {}, "stands twice"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(frame, arguments, words):
    with pytest.raises(UsageError, match=words) as refused:
        detect_frame(frame, **arguments)
    assert refused.value.remedy


def table(columns: int, series: int, rows: int) -> pd.DataFrame:
    """Series with a daily course, each of so many rows."""
    random = np.random.default_rng([columns, series])
    names = np.repeat([f"s{i}" for i in range(series)], rows)
    frame = pd.DataFrame({"time": np.tile(clock(rows), series), "series": names})
    for number in range(columns):
        course = cycle(rows, period=48, seed=number)
        noise = 0.3 * random.standard_normal(len(frame))
        frame[f"x{number}"] = np.tile(course, series) + noise
    return frame.sort_values("time", kind="stable", ignore_index=True)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_series_does_not_know_who_is_scored_beside_it(columns):
    lengths = [1_300, 700, 700, 210, 130, 90, 33, 5]
    parts = [
        table(columns, 1, rows).assign(series=f"s{i}") for i, rows in enumerate(lengths)
    ]
    together = pd.concat(parts, ignore_index=True)
    scores = detect_frame(together, series_column="series")
    for name, part in zip(scores.series.unique(), parts, strict=True):
        alone = detect_frame(part, series_column="series")
        np.testing.assert_allclose(
            scores.score[scores.series == name], alone.score, rtol=1e-8, atol=1e-10
        )


def test_progress_counts_every_value_once():
    told = []
    frame = table(2, 7, 200)
    detect_frame(frame, series_column="series", progress=lambda *x: told.append(x))
    assert {total for _, total in told} == {frame[["x0", "x1"]].size}
    # The first 32 rows of a series are not scored.
    assert sum(count for count, _ in told) == 2 * 7 * (200 - 32)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    ("columns", "series", "rows"),
    [
        (1, 1, 40_000),
        (3, 1, 20_000),
        (10, 1, 20_000),
        (1, 400, 100),
        (1, 50, 1_000),
        (3, 50, 200),
    ],
)
def test_a_row_takes_no_longer_than_a_twenty_thousandth_of_a_second(
    columns, series, rows
):
    frame = table(columns, series, rows)
    detect_frame(frame[:2_000], series_column="series")
    best = np.inf
    for _ in range(3):
        began = time.process_time()
        detect_frame(frame, series_column="series")
        best = min(best, time.process_time() - began)
    assert len(frame) / best >= 20_000
