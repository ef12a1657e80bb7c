"""``compare_frames`` on tables as people have them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring import DriftVerdict
from rtmlops_lib.monitoring.compare import compare_frames


def plant(n, seed, *, shift=0.0, start="2026-03-02", freq="1min"):
    """Return a boiler house: numbers, texts, flags, gaps, a counter, names."""
    random = np.random.default_rng(seed)
    time = pd.date_range(start, periods=n, freq=freq)
    hour = (time.hour + time.minute / 60).to_numpy()
    day = np.sin(2 * np.pi * hour / 24)
    noise = signal.lfilter([1], [1, -0.8], random.normal(size=n)) * 0.6
    pressure = 6 + day + noise + shift
    pressure[random.random(n) < 0.03] = np.nan
    return pd.DataFrame(
        {
            "Zeit": time,
            "Druck [bar]": pressure,
            "mode": random.choice(["eco", "full", "off"], n, p=[0.5, 0.4, 0.1]),
            "pump_on": random.random(n) < 0.7,
            "site": "north",
            "row_id": np.arange(n) + seed * 1_000_000,
            "note": [f"reading {i} of {seed}" for i in range(n)],
        }
    )


@pytest.fixture(scope="module")
def reference():
    return plant(14 * 1_440, 1)


def states(found):
    return dict(found.verdict.feature_states)


def test_another_week_of_the_same_plant_has_not_drifted(reference):
    found = compare_frames(reference, plant(7 * 1_440, 2, start="2026-03-16"))
    assert found.verdict.state == "stable"
    assert set(states(found)) == {"Druck [bar]", "mode", "pump_on", "site"}
    notes = " | ".join(found.notes)
    assert "time is taken from column 'Zeit'" in notes
    assert "no zone and are taken as UTC" in notes
    assert "row_id is not compared: only ever counts" in notes
    assert "note is not compared" in notes


@pytest.mark.parametrize(
    ("what", "feature"),
    [
        (lambda f: f.assign(**{"Druck [bar]": f["Druck [bar]"] + 1.0}), "Druck [bar]"),
        (lambda f: f.assign(**{"Druck [bar]": f["Druck [bar]"] * 1.3}), "Druck [bar]"),
        (lambda f: f.assign(mode=f["mode"].replace("eco", "turbo")), "mode"),
        (lambda f: f.assign(pump_on=True), "pump_on"),
        (lambda f: f.assign(site="south"), "site"),
        (lambda f: f.assign(site=None), "site"),
        (
            lambda f: f.assign(
                **{"Druck [bar]": f["Druck [bar]"].mask(np.arange(len(f)) % 3 == 0)}
            ),
            "Druck [bar]",
        ),
    ],
    ids=["shift", "factor", "unseen", "share", "constant", "gone", "missing"],
)
def test_each_kind_of_change_is_found_where_it_is(reference, what, feature):
    current = what(plant(7 * 1_440, 2, start="2026-03-16"))
    found = compare_frames(reference, current)
    assert found.verdict.state == "drift"
    assert [n for n, s in states(found).items() if s == "drift"] == [feature]
    assert feature in found.verdict.reason


def test_the_order_of_rows_and_copies_of_them_do_not_matter(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    plain = compare_frames(reference, current)
    messy = pd.concat([current, current[:300]]).sample(frac=1, random_state=1)
    found = compare_frames(reference.sample(frac=1, random_state=2), messy)
    assert [row.effect for row in found.verdict.features] == [
        row.effect for row in plain.verdict.features
    ]
    assert "300 rows that stood twice left out" in found.notes


def test_a_finer_sampling_step_is_no_drift(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    # The same process read every ten seconds: its memory is in time, not in rows.
    finer = current.loc[current.index.repeat(6)].reset_index(drop=True)
    finer["Zeit"] += pd.to_timedelta(np.arange(len(finer)) % 6 * 10, unit="s")
    plain, found = (compare_frames(reference, rows) for rows in (current, finer))
    assert found.verdict.state == "stable"
    assert found.verdict.features == plain.verdict.features


def test_a_coarser_sampling_step_is_no_drift(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")[::5]
    found = compare_frames(reference, current)
    assert found.verdict.state == "stable"
    assert states(found)["Druck [bar]"] == "stable"


def test_gaps_do_not_count_as_drift(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    kept = np.ones(len(current), bool)
    kept[1_500:3_500] = False
    found = compare_frames(reference, current[kept])
    assert found.verdict.state in ("stable", "warning")


def test_without_a_clock_row_order_is_time_order_and_the_report_says_so():
    random = np.random.default_rng(1)
    reference = pd.DataFrame({"x": random.normal(size=5_000)})
    same = compare_frames(reference, pd.DataFrame({"x": random.normal(size=2_000)}))
    moved = compare_frames(
        reference, pd.DataFrame({"x": random.normal(0.5, size=2_000)})
    )
    assert same.verdict.state == "stable"
    assert moved.verdict.state == "drift"
    assert "no time column: row order is taken as time order" in same.notes
    assert moved.verdict.end.startswith("row ")


@pytest.mark.parametrize(
    ("reference_rows", "current_rows"), [(5_000, 300), (400, 5_000), (30, 30)]
)
def test_too_few_rows_are_not_judged(reference_rows, current_rows):
    random = np.random.default_rng(1)
    found = compare_frames(
        pd.DataFrame({"x": random.normal(size=reference_rows)}),
        pd.DataFrame({"x": random.normal(3, size=current_rows)}),
    )
    assert found.verdict.state == "unknown"
    assert "independent rows, 500 are needed" in found.verdict.reason or (
        "chunks" in found.verdict.reason
    )


def test_rows_that_repeat_each_other_are_too_few_however_many():
    random = np.random.default_rng(1)
    walk = signal.lfilter([1], [1, -0.995], random.normal(size=20_000))
    found = compare_frames(
        pd.DataFrame({"x": walk[:10_000]}), pd.DataFrame({"x": walk[10_000:]})
    )
    assert found.verdict.state == "unknown"
    assert "independent rows, 500 are needed" in found.verdict.reason


def test_rows_of_series_nobody_named_are_evidence_of_one_moment():
    random = np.random.default_rng(1)
    time = pd.date_range("2026-03-02", periods=2_000, freq="5min", tz="UTC")
    # Twenty machines in one room: what one reads, all read.
    room = signal.lfilter([1], [1, -0.9], random.normal(size=2_000))
    frame = pd.DataFrame({"time": time.repeat(20), "x": room.repeat(20)})
    frame["x"] += 0.01 * random.normal(size=len(frame))
    found = compare_frames(frame[:20_000], frame[20_000:])
    assert found.verdict.state == "unknown"
    assert any("--series-column" in note for note in found.notes)


def test_series_of_different_level_are_each_compared_with_themselves():
    def machines(seed, days, names=8, start="2026-03-02"):
        random = np.random.default_rng(seed)
        time = pd.date_range(start, periods=days * 96, freq="15min", tz="UTC")
        level = 10.0 ** np.arange(1, names + 1)
        values = level + 0.01 * level * random.normal(size=(len(time), names))
        return pd.DataFrame(
            {
                "time": np.repeat(time, names),
                "machine": np.tile([f"m{i}" for i in range(names)], len(time)),
                "load": values.ravel(),
            }
        )

    reference = machines(1, 14)
    current = machines(2, 4, start="2026-03-16")
    same = compare_frames(reference, current, series_column="machine")
    assert same.verdict.state == "stable"
    # 2 % of each level: lost in the mixture of all, plain for each by itself.
    moved = current.assign(load=current["load"] * 1.02)
    assert compare_frames(reference, moved, series_column="machine").verdict.state == (
        "drift"
    )
    grown = machines(2, 4, names=10, start="2026-03-16")
    found = compare_frames(reference, grown, series_column="machine")
    assert found.verdict.feature_states["machine (unseen)"] == "drift"


def test_a_stray_time_does_not_stretch_the_windows(reference):
    stray = reference[:1].assign(Zeit=pd.Timestamp("1970-01-01"))
    current = plant(7 * 1_440, 2, start="2026-03-16", shift=1.0)
    plain = compare_frames(reference, current)
    found = compare_frames(pd.concat([stray, reference]), current)
    assert found.calibration.cycle == plain.calibration.cycle
    assert found.calibration.window == plain.calibration.window
    assert states(found) == states(plain)


@pytest.mark.parametrize(
    "column",
    [
        [None, 1.5, np.inf],
        [1e300, -1e300, 0.0],
        [True, None, False],
        [[1], [2], [3]],
        [1, "a", None],
        pd.array([1, None, 3], dtype="Int64"),
        pd.Categorical(["a", "b", None]),
        pd.to_timedelta([1, 2, 4], unit="s"),
        [np.nan, np.nan, np.nan],
        [1e12, 1e12 + 1, 1e12 + 2],
    ],
    ids=str,
)
def test_values_of_any_kind_are_compared_or_told_of(column):
    def table(seed):
        random = np.random.default_rng(seed)
        values = pd.Series(column)[random.integers(0, 3, 3_000)]
        return pd.DataFrame(
            {("level", 1): random.normal(size=3_000), "odd": values.to_numpy()}
        )

    found = compare_frames(table(1), table(2))
    assert found.verdict.state in ("stable", "warning")
    told = {row.name for row in found.verdict.features} | set(found.calibration.skipped)
    assert "odd" in told
    json.dumps(found.verdict.to_dict(), allow_nan=False)
    assert found.verdict.replay() == found.verdict


def test_what_the_export_adds_is_not_compared(reference):
    def exported(frame, offset):
        late = frame["Zeit"] + pd.Timedelta(seconds=2)
        return frame.rename(columns={"Zeit": "time"}).assign(
            ingest_time=late, seen=late, kafka_partition=0, kafka_offset=offset
        )

    current = plant(7 * 1_440, 2, start="2026-03-16")
    found = compare_frames(exported(reference, 1), exported(current, 9_000))
    assert found.verdict.state == "stable"
    said = " | ".join(found.notes)
    assert "ingest_time, kafka_partition, kafka_offset: how rows were stored" in said
    assert "seen is not compared: only ever counts" in said


def test_rows_of_no_series_are_a_series(reference):
    named = reference.assign(unit=["a", "b", None] * (len(reference) // 3))
    found = compare_frames(named, named, series_column="unit")
    assert states(found)["unit (unseen)"] == "stable"


def test_columns_of_one_file_only_are_told_and_left_out(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    found = compare_frames(reference.drop(columns="mode"), current.drop(columns="site"))
    assert "mode is only in the current file: not compared" in found.notes
    assert "site is only in the reference: not compared" in found.notes
    with pytest.raises(UsageError, match="no column in common"):
        compare_frames(reference[["Zeit", "mode"]], current[["Zeit", "site"]])


def test_numbers_that_became_texts_are_missing_numbers(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    texts = current["Druck [bar]"].map("{:.2f} bar".format)
    found = compare_frames(reference, current.assign(**{"Druck [bar]": texts}))
    assert states(found)["Druck [bar]"] == "drift"


def test_a_verdict_survives_json_and_can_be_judged_again(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16", shift=1.0)
    for verdict in compare_frames(reference, current).verdicts:
        copy = DriftVerdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
        assert copy == verdict
        assert copy.replay() == verdict


def test_a_changed_report_does_not_replay_to_the_same_state(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16", shift=1.0)
    verdict = compare_frames(reference, current).verdict
    plain = json.loads(json.dumps(verdict.to_dict()))
    for row in plain["features"]:
        row["current_quantiles"] = row["reference_quantiles"]
        row["current_counts"] = row["reference_counts"]
    for window in plain["before"]["windows"]:
        window["marks"] = dict.fromkeys(window["marks"], 0)
    assert verdict.state == "drift"
    assert DriftVerdict.from_dict(plain).replay().state == "stable"
