"""``compare_frames`` on tables as people have them."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from rtmlops_lib.errors import UsageError
from rtmlops_lib.monitoring import DriftVerdict
from rtmlops_lib.monitoring.compare import compare_frames
from rtmlops_lib.monitoring.joint_reference import TOGETHER


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


def test_the_order_of_rows_does_not_matter(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    plain = compare_frames(reference, current)
    found = compare_frames(
        reference.sample(frac=1, random_state=2), current.sample(frac=1, random_state=1)
    )
    assert found.verdict.features == plain.verdict.features


def test_rows_that_stand_twice_are_left_out_where_series_have_names(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    plain, found = (
        compare_frames(reference, rows, series_column="site")
        for rows in (current, pd.concat([current, current[:300]]))
    )
    assert found.verdict.features == plain.verdict.features
    assert "300 rows that stood twice left out" in found.notes


def test_two_equal_events_of_one_second_are_two_events():
    def log(n, seed, busy, start):
        random = np.random.default_rng(seed)
        second = np.sort(random.integers(0, 86_400, n))
        return pd.DataFrame(
            {
                "time": pd.Timestamp(start) + pd.to_timedelta(second, unit="s"),
                # Pages that are asked for often are so in the same second, too.
                "page": random.choice(["home", "rare"], n, p=[busy, 1 - busy]),
                "status": 200,
            }
        )

    calm, same = (log(100_000, n, 0.5, f"2026-03-0{n}") for n in (1, 2))
    found = compare_frames(calm, same)
    assert found.current_rows == 100_000
    assert any("rows stand twice and are kept" in note for note in found.notes)
    moved = compare_frames(calm, log(100_000, 3, 0.9, "2026-03-03"))
    assert states(moved)["page"] == "drift"


def test_rows_of_the_reference_that_are_current_as_well_are_left_out_of_it(reference):
    current = plant(7 * 1_440, 2, start="2026-03-16", shift=0.5)
    plain = compare_frames(reference, current)
    mixed = compare_frames(pd.concat([reference, current]), current)
    assert mixed.verdict.features == plain.verdict.features
    said = "10,080 rows of the reference are among the current ones: left out of it"
    assert said in mixed.notes
    itself = compare_frames(reference, reference)
    assert itself.verdict.state == "stable"
    assert any(note.startswith("every row of the ref") for note in itself.notes)


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


def rack(n, seed, *, bond=0.9, start="2026-03-02", freq="1min", columns=4):
    """Return numbers of which the first two go together; each alone is a plain one."""
    random = np.random.default_rng(seed)
    x = signal.lfilter([1], [1, -0.8], random.normal(size=(columns, n))) * 0.6
    x[1] = bond * x[0] + np.sqrt(1 - bond**2) * x[1]
    frame = pd.DataFrame(
        {f"x{k}": 10.0 * k + column for k, column in enumerate(x)},
        index=pd.date_range(start, periods=n, freq=freq, tz="UTC", name="time"),
    )
    return frame.reset_index()


@pytest.fixture(scope="module")
def racks():
    return rack(14 * 1_440, 1)


@pytest.mark.parametrize("bond", [0.0, -0.9, 0.4])
def test_numbers_that_no_longer_go_together_are_seen_though_each_is_as_it_was(
    racks, bond
):
    found = compare_frames(racks, rack(7 * 1_440, 2, bond=bond, start="2026-03-16"))
    alone = {n: s for n, s in states(found).items() if n != TOGETHER}
    assert set(alone.values()) == {"stable"}
    assert states(found)[TOGETHER] == "drift"
    assert found.verdict.state == "drift"
    assert TOGETHER in found.verdict.reason
    (note,) = (note for note in found.notes if "go together differently" in note)
    assert note.startswith("x0 and x1 go together differently: rank correlation 0.9")


@pytest.mark.parametrize("seed", range(2, 8))
def test_numbers_that_go_together_as_ever_are_left_alone(racks, seed):
    found = compare_frames(racks, rack(7 * 1_440, seed, start="2026-03-16"))
    assert states(found)[TOGETHER] == "stable"
    assert not [note for note in found.notes if "together" in note]


def test_a_number_that_moved_by_itself_is_not_told_of_twice(racks):
    moved = rack(7 * 1_440, 2, start="2026-03-16")
    moved["x1"] = 3 * moved["x1"] + 1
    moved["x2"] = np.where(np.arange(len(moved)) % 3, moved["x2"], np.nan)
    found = compare_frames(racks, moved)
    assert states(found)["x1"] == states(found)["x2"] == "drift"
    assert states(found)[TOGETHER] == "stable"


def test_what_goes_together_can_be_replayed_and_is_the_same_in_any_order(racks):
    current = rack(7 * 1_440, 2, bond=0.2, start="2026-03-16")
    found = compare_frames(racks, current)
    mixed = compare_frames(
        racks.sample(frac=1, random_state=1), current.sample(frac=1, random_state=2)
    )
    assert mixed.verdict.features == found.verdict.features
    for verdict in found.verdicts:
        copy = DriftVerdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
        assert copy.replay() == verdict
    row = next(row for row in found.verdict.features if row.name == TOGETHER)
    assert row.adjusted_p is not None and row.adjusted_p < 1e-6
    assert found.over(TOGETHER) >= found.judged - 1


def test_counts_and_flags_as_numbers_do_not_give_a_file_away(racks):
    def coarse(frame):
        # Few values each, and other shares of them.
        return frame.assign(x0=frame["x0"].round(), x2=(frame["x2"] > 20.5).astype(int))

    current = rack(7 * 1_440, 2, start="2026-03-16")
    found = compare_frames(coarse(racks), coarse(current))
    assert states(found)[TOGETHER] == "stable"


def test_one_number_or_a_handful_of_rows_have_nothing_to_go_together(racks):
    current = rack(7 * 1_440, 2, start="2026-03-16")
    alone = compare_frames(racks[["time", "x0"]], current[["time", "x0"]])
    assert TOGETHER not in states(alone)
    sparse = compare_frames(racks[::60], current[::60])
    assert TOGETHER not in states(sparse)
    gone = compare_frames(racks, current.assign(x3=np.nan))
    assert TOGETHER not in states(gone)
    assert states(gone)["x3"] == "drift"


def test_it_takes_a_bounded_time_however_many_windows_there_are():
    reference, current = (
        rack(100_000, seed, freq="30s", columns=10, start=start)
        for seed, start in ((1, "2026-03-02"), (2, "2026-06-02"))
    )
    # By the processor's time: how busy the machine is besides does not matter.
    begun = time.process_time()
    found = compare_frames(reference[:10_000], current)
    assert time.process_time() - begun < 20
    assert found.judged > 100
    rows = [v for v in found.verdicts if any(r.name == TOGETHER for r in v.features)]
    assert len(rows) == 40
    assert any("judged in the newest 40 of" in note for note in found.notes)


@pytest.mark.parametrize("where", ["current", "both"])
def test_a_few_cells_that_are_no_numbers_do_not_make_texts_of_a_column(
    reference, where
):
    def spoiled(frame):
        column = frame["Druck [bar]"].round(3).astype(object)
        column.iloc[[5, 700]] = ["error", "n.v."]
        return frame.assign(**{"Druck [bar]": column})

    current = plant(7 * 1_440, 2, start="2026-03-16")
    first = spoiled(reference) if where == "both" else reference
    found = compare_frames(first, spoiled(current))
    assert states(found)["Druck [bar]"] == "stable"
    assert any("2 cells that are no numbers" in note for note in found.notes)
    moved = plant(7 * 1_440, 2, start="2026-03-16", shift=1.0)
    assert states(compare_frames(first, spoiled(moved)))["Druck [bar]"] == "drift"


def test_labels_that_are_numbers_are_the_same_however_they_were_read():
    random = np.random.default_rng(1)
    labels = random.choice(["12", "13", "14"], 6_000)
    labels[7] = "B7"
    frame = pd.DataFrame({"room": labels, "x": random.normal(size=6_000)})
    later = pd.DataFrame(
        {"room": random.choice([12, 13, 14], 3_000), "x": random.normal(size=3_000)}
    )
    assert states(compare_frames(frame, later))["room"] == "stable"
    later["room"] += 1
    assert states(compare_frames(frame, later))["room"] == "drift"


def test_a_constant_column_does_not_make_a_verdict_of_none():
    random = np.random.default_rng(1)
    walk = signal.lfilter([1], [1, -0.995], random.normal(size=20_000))
    frame = pd.DataFrame({"x": walk, "site": "north"})
    found = compare_frames(frame[:10_000], frame[10_000:])
    assert found.verdict.state == "unknown"
    assert set(states(found).values()) == {"unknown"}


@pytest.mark.parametrize(
    "written",
    [
        "%d/%m/%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%d.%m.%Y %H:%M:%S",
        "%b %d %Y %H:%M",
        "%Y-%m-%d %H:%M",
    ],
)
def test_times_are_read_as_they_were_meant(reference, written):
    current = plant(7 * 1_440, 2, start="2026-03-16")
    plain = compare_frames(reference, current)
    first, second = (
        frame.assign(Zeit=frame["Zeit"].dt.strftime(written))
        for frame in (reference, current)
    )
    found = compare_frames(first, second, time_column="Zeit")
    assert found.calibration.cycle == plain.calibration.cycle
    assert found.verdict.features == plain.verdict.features


def test_times_that_may_mean_two_things_are_refused():
    days = pd.date_range("2026-02-01", periods=12)
    frame = pd.DataFrame({"when": days.strftime("%d/%m/%Y"), "x": np.arange(12.0)})
    with pytest.raises(UsageError, match="days and months of 'when' cannot be told"):
        compare_frames(frame, frame, time_column="when")
    numbers = frame.assign(when=days.strftime("%Y%m%d").astype(int))
    with pytest.raises(UsageError, match="20260201, a day written as a number"):
        compare_frames(numbers, numbers, time_column="when")


def test_a_year_against_a_day_is_judged_where_it_is_newest():
    def ticks(days, seed, start):
        random = np.random.default_rng(seed)
        time = pd.date_range(start, periods=days * 720, freq="2min", tz="UTC")
        return pd.DataFrame({"time": time, "x": random.normal(size=len(time))})

    found = compare_frames(ticks(1, 1, "2026-01-01"), ticks(90, 2, "2026-01-02"))
    assert len(found.verdicts) == 1_000
    assert any("the newest 1,000 are judged" in note for note in found.notes)
