"""A figure drawn in place: it ends by its count, or by its deadline."""

from __future__ import annotations

import time

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from rtmlops_lib.streams import TopicPartition, builtin_specs
from rtmlops_lib.teaching import History, LessonStopped, watch
from rtmlops_lib.transport.memory import MemoryBroker

mpl.use("Agg")


def test_drawing_goes_on_until_it_says_that_it_is_done() -> None:
    drawn: list[int] = []

    def draw(ax: Axes) -> bool:
        assert not ax.lines, "each drawing starts with empty axes"
        ax.plot([0, 1], [0, 1])
        drawn.append(1)
        return len(drawn) == 3

    watch(draw, timeout=30, what="three drawings", every=0.001)
    assert len(drawn) == 3


def test_drawing_ends_at_its_deadline_and_leaves_no_figure_open() -> None:
    before, started = plt.get_fignums(), time.monotonic()
    with pytest.raises(LessonStopped, match=r"watched 0.05 s for the moon"):
        watch(lambda *_: False, timeout=0.05, what="the moon", panels=2, every=0.01)
    assert time.monotonic() - started < 10
    assert plt.get_fignums() == before


def test_panels_are_handed_over_from_top_to_bottom() -> None:
    def draw(above: Axes, below: Axes) -> bool:
        assert above.get_position().y0 > below.get_position().y0
        return True

    watch(draw, timeout=5, what="one drawing", panels=2)


def played(parts: int) -> tuple[list[bytes | None], int]:
    """Play an hour in so many parts; return the values in order, and the parts."""
    spec = builtin_specs()["datacenter"]
    broker = MemoryBroker()
    broker.create_topic(spec.topic, partitions=1)
    hour = History(hours=1, servers=2, interval_seconds=30)
    moments = list(hour.play(broker.producer(), [spec], parts=parts))
    assert moments == sorted(moments)
    assert moments[-1] == hour.end
    records = broker.log(TopicPartition(spec.topic, 0)).records
    assert len(records) == hour.events
    return [record.value for record in records], len(moments)


def test_a_history_played_in_parts_is_the_same_history() -> None:
    whole, one = played(1)
    pieces, seven = played(7)
    assert (one, seven) == (1, 7)
    assert pieces == whole


def test_playing_sends_nothing_before_it_is_asked_for_the_next_part() -> None:
    spec = builtin_specs()["datacenter"]
    broker = MemoryBroker()
    broker.create_topic(spec.topic, partitions=1)
    parts = History(hours=1, servers=2).play(broker.producer(), [spec], parts=4)
    log = broker.log(TopicPartition(spec.topic, 0))
    assert not log.records
    next(parts)
    assert len(log.records) == 180
