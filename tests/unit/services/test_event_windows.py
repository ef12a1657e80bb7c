"""Which window may be judged, when, and how often: three questions to a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.services import event_windows
from rtmlops_lib.services.event_windows import MAX_BEHIND, EventWindow, EventWindows
from rtmlops_lib.streams import builtin_specs

SPEC = builtin_specs()["datacenter"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Events:
    """Answers what ``EventWindows`` asks of a store, of events that are listed."""

    def __init__(self, times=(), *, predicted=None):
        self.times = sorted(times)
        self.predicted = self.times if predicted is None else predicted
        self.asked = 0

    @property
    def newest(self):
        return self.times[-1]

    def row_count(self, spec, *, since, until=None):
        self.asked += 1
        found = [t for t in self.times if since <= t and (until is None or t < until)]
        return len(found), 0.0

    def first_time(self, spec, *, since):
        return min((t for t in self.times if t >= since), default=None)

    def prediction_counts(self, spec, model_name, *, since, until):
        mine = [t for t in self.predicted if since <= t < until]
        # A challenger's predictions are no sign that the champion is done.
        return {("champion", 1): len(mine), ("challenger", 2): len(mine)}


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(event_windows, "time", found)
    return found


def windows_of(events, *, lateness=60.0, patience=30.0, judged_until=None):
    found = EventWindows(
        events,
        SPEC,
        "m",
        seconds=3_600,
        lateness_seconds=lateness,
        patience_seconds=patience,
    )
    found.resume(judged_until)
    return found


def each_minute(start, hours):
    return [start + n * MINUTE for n in range(round(hours * 60))]


def all_of(windows, newest):
    found = []
    # A gap takes a question of its own.
    for _ in range(1_000):
        window = windows.next(newest)
        if window is not None:
            found.append(window)
            windows.done(window)
    return found


def test_a_window_is_told_when_the_newest_event_is_late_enough_beyond_it(clock):
    events = Events(each_minute(NOON - HOUR, 2))
    windows = windows_of(events, judged_until=NOON)
    assert windows.next(NOON + 59 * MINUTE) is None
    assert windows.next(NOON + HOUR) is None
    found = windows.next(NOON + HOUR + MINUTE)
    assert found == EventWindow(NOON, NOON + HOUR, 60, 60)
    # The same until it is done.
    assert windows.next(NOON + HOUR + MINUTE) == found
    windows.done(found)
    assert windows.next(NOON + HOUR + MINUTE) is None


def test_without_a_former_report_it_begins_with_the_newest_whole_window(clock):
    events = Events(each_minute(NOON - 50 * HOUR, 52.5))
    found = all_of(windows_of(events), events.newest)
    assert [(w.start, w.end) for w in found] == [(NOON + HOUR, NOON + 2 * HOUR)]


def test_what_was_missed_is_told_in_order_but_not_weeks_of_it(clock):
    events = Events(each_minute(NOON, 6.1))
    found = all_of(windows_of(events, judged_until=NOON + HOUR), events.newest)
    assert [w.start for w in found] == [NOON + n * HOUR for n in range(1, 6)]
    later = NOON + (MAX_BEHIND + 50) * HOUR
    events = Events(each_minute(NOON, 2) + each_minute(later, 1.1))
    found = all_of(windows_of(events, judged_until=NOON), events.newest)
    assert [w.start for w in found] == [later]


def test_a_gap_of_any_length_is_skipped_without_a_window(clock):
    events = Events(each_minute(NOON, 1) + each_minute(NOON + 100 * HOUR, 2.1))
    windows = windows_of(events, judged_until=NOON)
    found = all_of(windows, events.newest)
    assert [w.start for w in found] == [NOON, NOON + 100 * HOUR, NOON + 101 * HOUR]


def test_a_gap_costs_one_question_not_one_an_hour(clock):
    events = Events(each_minute(NOON, 1) + each_minute(NOON + 100 * HOUR, 1.1))
    windows = windows_of(events, judged_until=NOON + HOUR)
    assert windows.next(events.newest) is None
    assert windows.next(events.newest).start == NOON + 100 * HOUR
    assert events.asked == 2


def test_a_gap_at_the_end_ends_when_events_come_again(clock):
    events = Events(each_minute(NOON, 1))
    windows = windows_of(events, judged_until=NOON + HOUR)
    # Nothing newer is stored; the newest is told by another stream's clock.
    assert windows.next(NOON + 5 * HOUR) is None
    events.times += each_minute(NOON + 4 * HOUR, 1.1)
    found = all_of(windows, events.newest)
    assert [w.start for w in found] == [NOON + 4 * HOUR]


def test_an_event_of_a_clock_that_is_years_ahead_holds_nothing_up(clock):
    events = Events([*each_minute(NOON, 1), NOON + 30_000 * HOUR])
    windows = windows_of(events, judged_until=NOON + HOUR)
    newest = NOON + 3 * HOUR
    # A gap until now, and that one far away beyond it.
    assert windows.next(newest) is None
    events.times[1:1] = each_minute(NOON + 2 * HOUR, 2)
    events.times.sort()
    found = all_of(windows, NOON + 4 * HOUR)
    assert [w.start for w in found] == [NOON + 2 * HOUR]


def test_a_predictor_that_is_behind_is_waited_for(clock):
    events = Events(each_minute(NOON, 2.1), predicted=each_minute(NOON, 0.5))
    windows = windows_of(events, judged_until=NOON)
    assert windows.next(events.newest) is None
    # It moves on: patience begins anew each time.
    for done in (0.6, 0.7, 0.8, 0.9):
        clock.now += 29
        events.predicted = each_minute(NOON, done)
        assert windows.next(events.newest) is None
    clock.now += 1
    events.predicted = each_minute(NOON, 1)
    assert windows.next(events.newest) == EventWindow(NOON, NOON + HOUR, 60, 60)


def test_a_predictor_that_is_away_is_not_waited_for_for_ever(clock):
    events = Events(each_minute(NOON, 3.1), predicted=[])
    windows = windows_of(events, judged_until=NOON)
    for _ in range(3):
        assert windows.next(events.newest) is None
        clock.now += 14
    found = windows.next(events.newest)
    assert (found.rows, found.predicted) == (60, 0)
    windows.done(found)
    # Each window is given its own patience.
    assert windows.next(events.newest) is None
    clock.now += 30
    assert windows.next(events.newest).start == NOON + HOUR


def test_late_events_are_counted_while_the_window_is_not_done(clock):
    events = Events(each_minute(NOON, 1.1), predicted=[])
    windows = windows_of(events, judged_until=NOON)
    assert windows.next(events.newest) is None
    clock.now += 29
    events.times.insert(0, NOON + timedelta(seconds=1))
    assert windows.next(events.newest) is None
    clock.now += 29
    assert windows.next(events.newest) is None
    clock.now += 1
    assert windows.next(events.newest).rows == 61


@given(
    st.lists(st.integers(0, 40 * 60), min_size=1, max_size=80),
    st.integers(0, 40),
    st.sampled_from([0.0, 60.0, 1_800.0]),
)
def test_each_whole_window_with_events_is_told_once_and_in_order(
    minutes, begin, lateness
):
    events = Events(NOON + n * MINUTE for n in minutes)
    windows = windows_of(events, lateness=lateness, judged_until=NOON + begin * HOUR)
    found = all_of(windows, events.newest)
    whole = {
        NOON + (t - NOON) // HOUR * HOUR
        for t in events.times
        if t >= NOON + begin * HOUR
    }
    limit = events.newest - timedelta(seconds=lateness)
    assert [w.start for w in found] == sorted(s for s in whole if s + HOUR <= limit)
    assert all(w.rows == w.predicted > 0 for w in found)
