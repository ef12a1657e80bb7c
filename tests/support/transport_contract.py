"""What every adapter of the transport's ports must keep to.

Each test method runs over every adapter; a ``World`` is one of them with its broker.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from rtmlops_lib.errors import DependencyUnavailable, UsageError
from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import DeliveryFailed, EventConsumer, EventProducer, Polled


class World(ABC):
    """One adapter and a broker to try it on."""

    name = ""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.opened: list[EventConsumer | EventProducer] = []

    def new_name(self) -> str:
        return f"{self.prefix}{uuid.uuid4().hex[:8]}"

    def topic(self, partitions: int = 1, **configs: str) -> str:
        topic = self.new_name()
        self.create(topic, partitions, configs)
        return topic

    def consumer(
        self,
        group: str,
        *topics: str,
        group_instance_id: str | None = None,
    ) -> EventConsumer:
        consumer = self.new_consumer(group, topics, group_instance_id)
        self.opened.append(consumer)
        return consumer

    def producer(self) -> EventProducer:
        producer = self.new_producer()
        self.opened.append(producer)
        return producer

    def put(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        producer = self.producer()
        for value in values:
            producer.send(topic, value, partition=partition)
        producer.flush()

    def close(self) -> None:
        for thing in self.opened:
            thing.close()

    @abstractmethod
    def create(
        self, topic: str, partitions: int, configs: Mapping[str, str]
    ) -> None: ...

    @abstractmethod
    def grow(self, topic: str, partitions: int) -> None:
        """Let a topic have so many partitions in all."""

    @abstractmethod
    def recreate(self, topic: str) -> None: ...

    @abstractmethod
    def delete_records(self, before: Mapping[TopicPartition, int]) -> None: ...

    @abstractmethod
    def transaction(
        self, topic: str, values: Sequence[bytes], *, commit: bool
    ) -> None: ...

    @abstractmethod
    def committed(self, group: str) -> dict[TopicPartition, int]: ...

    @abstractmethod
    def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit for a group that has no members."""

    @abstractmethod
    def new_consumer(
        self, group: str, topics: Sequence[str], group_instance_id: str | None
    ) -> EventConsumer: ...

    @abstractmethod
    def new_producer(self) -> EventProducer: ...


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"v%d" % i for i in range(start, start + count)]


def poll_until(
    consumer: EventConsumer,
    done: Callable[[list[Polled]], bool],
    seconds: float = 15.0,
    others: Iterable[EventConsumer] = (),
) -> list[Polled]:
    """Poll until ``done`` says so of everything polled; fail after ``seconds``."""
    polls: list[Polled] = []
    deadline = time.monotonic() + seconds
    while not done(polls):
        assert time.monotonic() < deadline, f"nothing in {seconds} s: {polls[-3:]}"
        polls.append(consumer.poll_batch(5_000, 0.1))
        for other in others:
            other.poll_batch(5_000, 0)
    return polls


def join(consumer: EventConsumer, seconds: float = 15.0) -> list[Polled]:
    return poll_until(consumer, lambda ps: bool(consumer.assignment()), seconds)


def start(consumer: EventConsumer, offset: int = 0) -> None:
    """Join, and read every partition from ``offset`` on."""
    join(consumer)
    for partition in consumer.assignment():
        consumer.seek(partition, offset)
    consumer.resume(consumer.assignment())


def values_of(polls: Iterable[Polled]) -> list[bytes | None]:
    return [v for poll in polls for records in poll.records for v in records.values]


def offsets_of(polls: Iterable[Polled]) -> list[int]:
    return [o for poll in polls for records in poll.records for o in records.offsets]


def read(consumer: EventConsumer, count: int, seconds: float = 15.0) -> list[Polled]:
    return poll_until(consumer, lambda ps: len(values_of(ps)) >= count, seconds)


def poll_until_some(consumer: EventConsumer, at_most: int) -> Polled:
    """Return the first poll that brings records, at most so many."""
    deadline = time.monotonic() + 15.0
    while not (polled := consumer.poll_batch(at_most, 0.1)).records:
        assert time.monotonic() < deadline, "no record in 15 s"
    return polled


def silence(consumer: EventConsumer, seconds: float) -> list[Polled]:
    """Poll for a while, whatever comes."""
    polls = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        polls.append(consumer.poll_batch(5_000, 0.1))
    return polls


class TransportContract:
    """Mixed into a test class whose fixture ``world`` yields a ``World``."""

    def test_membership_comes_before_any_record(self, world: World) -> None:
        topic = world.topic(2)
        world.put(topic, numbered(5))
        consumer = world.consumer(world.new_name(), topic)
        polls = join(consumer)
        both = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
        assert polls[-1].assigned == both == consumer.assignment()
        assert polls[-1].rebalanced
        assert values_of(polls) == []

    def test_an_assignment_brings_nothing_before_resume(self, world: World) -> None:
        topic = world.topic()
        world.put(topic, numbered(5))
        consumer = world.consumer(world.new_name(), topic)
        join(consumer)
        quiet = silence(consumer, 1.0)
        consumer.seek(TopicPartition(topic, 0), 0)
        quiet += silence(consumer, 0.5)
        assert values_of(quiet) == []
        assert all(poll.positions == {} for poll in quiet)
        consumer.resume(consumer.assignment())
        assert values_of(read(consumer, 5)) == numbered(5)

    def test_without_a_committed_offset_resume_alone_brings_nothing(
        self, world: World
    ) -> None:
        topic = world.topic()
        world.put(topic, numbered(5))
        consumer = world.consumer(world.new_name(), topic)
        join(consumer)
        consumer.resume(consumer.assignment())
        assert values_of(silence(consumer, 1.0)) == []
        consumer.seek(TopicPartition(topic, 0), 3)
        assert offsets_of(read(consumer, 2)) == [3, 4]

    def test_nothing_comes_from_the_committed_offset(self, world: World) -> None:
        topic, group = world.topic(), world.new_name()
        tp = TopicPartition(topic, 0)
        world.put(topic, numbered(2_000))
        world.set_committed(group, {tp: 10})
        consumer = world.consumer(group, topic)
        polls = join(consumer)
        polls += silence(consumer, 0.5)
        consumer.seek(tp, 1_500)
        consumer.resume([tp])
        polls += read(consumer, 500)
        assert offsets_of(polls) == list(range(1_500, 2_000))

    def test_seek_goes_back_and_forth_without_a_stray_record(
        self, world: World
    ) -> None:
        topic = world.topic()
        tp = TopicPartition(topic, 0)
        world.put(topic, numbered(3_000))
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        for target in (0, 2_500, 100, 2_999, 1_000):
            consumer.seek(tp, target)
            polls = poll_until(consumer, lambda ps: bool(offsets_of(ps)))
            assert offsets_of(polls)[0] == target

    def test_seek_on_a_foreign_partition_is_refused(self, world: World) -> None:
        topic = world.topic()
        consumer = world.consumer(world.new_name(), topic)
        with pytest.raises(UsageError):
            consumer.seek(TopicPartition(topic, 0), 0)

    def test_pause_keeps_the_position(self, world: World) -> None:
        topic = world.topic()
        tp = TopicPartition(topic, 0)
        world.put(topic, numbered(100))
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        first = consumer.poll_batch(10, 5.0)
        assert offsets_of([first]) == list(range(10))
        assert first.positions == {tp: 10}
        consumer.pause([tp])
        quiet = silence(consumer, 0.5)
        assert values_of(quiet) == [] and all(p.positions == {} for p in quiet)
        consumer.resume([tp])
        assert offsets_of(read(consumer, 90)) == list(range(10, 100))

    def test_a_partition_paused_with_records_fetched_comes_back(
        self, world: World
    ) -> None:
        topic = world.topic(2)
        for partition in (0, 1):
            world.put(topic, numbered(2_000), partition=partition)
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        first = poll_until_some(consumer, 50)
        paused = TopicPartition(first.records[0].topic, first.records[0].partition)
        consumer.pause([paused])
        # Another one is read to its end meanwhile, and has nothing more to bring.
        read(consumer, 2_000 - sum(map(len, first.records[1:])))
        silence(consumer, 0.5)
        consumer.seek(paused, 10)
        consumer.resume([paused])
        assert offsets_of(read(consumer, 1_990)) == list(range(10, 2_000))

    def test_a_poll_brings_no_more_than_asked_for(self, world: World) -> None:
        topic = world.topic(3)
        for partition in range(3):
            world.put(topic, numbered(50), partition)
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        sizes = []
        while sum(sizes) < 150:
            poll = consumer.poll_batch(20, 5.0)
            partitions = [records.partition for records in poll.records]
            assert len(partitions) == len(set(partitions))
            sizes.append(len(values_of([poll])))
        assert max(sizes) <= 20 and sum(sizes) == 150

    def test_records_come_back_as_they_were_sent(self, world: World) -> None:
        topic = world.topic()
        producer = world.producer()
        headers = [("a", b"1"), ("a", b""), ("ü", b"\x00\xff")]
        producer.send(topic, b"x", key=b"\x00k", headers=headers, timestamp_ms=1234)
        producer.send(topic, None, key=b"gone", timestamp_ms=1235)
        producer.send(topic, b"", timestamp_ms=1236)
        producer.flush()
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        (records,) = [r for poll in read(consumer, 3) for r in poll.records]
        assert records.offsets == [0, 1, 2]
        assert records.timestamps == [1234, 1235, 1236]
        assert records.keys == [b"\x00k", b"gone", None]
        assert records.values == [b"x", None, b""]
        assert [list(h) for h in records.headers] == [headers, [], []]

    def test_a_value_of_ten_megabytes_passes(self, world: World) -> None:
        topic = world.topic(1, **{"max.message.bytes": str(12 * 2**20)})
        big = uuid.uuid4().bytes * (10 * 2**20 // 16)
        world.put(topic, [b"before", big, b"after"])
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        assert values_of(read(consumer, 3, seconds=30)) == [b"before", big, b"after"]

    def test_a_record_too_large_fails_the_flush_once(self, world: World) -> None:
        topic = world.topic(1, **{"max.message.bytes": "1000"})
        producer = world.producer()
        noise = b"".join(uuid.uuid4().bytes for _ in range(200))
        producer.send(topic, b"small")
        producer.flush()
        producer.send(topic, noise)
        with pytest.raises(DeliveryFailed):
            producer.flush()
        producer.flush()
        producer.send(topic, b"small again")
        producer.flush()

    def test_positions_move_over_markers_and_aborted_records(
        self, world: World
    ) -> None:
        topic = world.topic()
        tp = TopicPartition(topic, 0)
        world.transaction(topic, numbered(3), commit=True)
        world.transaction(topic, numbered(4, 100), commit=False)
        world.transaction(topic, [], commit=False)
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        end = consumer.end_offsets([tp])[tp]
        assert end >= 9  # 3 and a marker, 4 and a marker
        polls = poll_until(
            consumer, lambda ps: bool(ps) and ps[-1].positions.get(tp) == end
        )
        assert values_of(polls) == numbered(3)

    def test_offsets_of_a_partition_that_no_broker_knows_are_a_fault_of_ours(
        self, world: World
    ) -> None:
        topic = world.topic(1)
        consumer = world.consumer(world.new_name(), topic)
        join(consumer)
        wanted = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        for ask in (consumer.beginning_offsets, consumer.end_offsets):
            with pytest.raises(DependencyUnavailable):
                ask(wanted)

    def test_out_of_range_is_data_below_and_above(self, world: World) -> None:
        topic = world.topic(2)
        low, high = TopicPartition(topic, 0), TopicPartition(topic, 1)
        world.put(topic, numbered(20), 0)
        world.put(topic, numbered(20), 1)
        world.delete_records({low: 15})
        consumer = world.consumer(world.new_name(), topic)
        join(consumer)
        assert consumer.beginning_offsets([low, high]) == {low: 15, high: 0}
        assert consumer.end_offsets([low, high]) == {low: 20, high: 20}
        consumer.seek(low, 3)
        consumer.seek(high, 25)
        consumer.resume([low, high])
        seen: dict[TopicPartition, int] = {}

        def both(polls: list[Polled]) -> bool:
            for poll in polls:
                seen.update(poll.out_of_range)
            return len(seen) == 2

        polls = poll_until(consumer, both) + silence(consumer, 0.5)
        assert seen == {low: 3, high: 25}
        assert values_of(polls) == []
        consumer.seek(low, 15)
        consumer.seek(high, 0)
        assert len(values_of(read(consumer, 25))) == 25

    def test_a_commit_is_seen_from_outside(self, world: World) -> None:
        topic, group = world.topic(2), world.new_name()
        one = TopicPartition(topic, 1)
        consumer = world.consumer(group, topic)
        start(consumer)
        consumer.commit({one: 7})
        poll_until(consumer, lambda ps: world.committed(group) == {one: 7})
        consumer.commit({one: 8, TopicPartition("foreign", 0): 1})
        consumer.close()
        assert world.committed(group) == {one: 8}

    def test_offsets_for_time_is_the_first_at_or_after_else_the_end(
        self, world: World
    ) -> None:
        topic = world.topic(2)
        full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
        producer = world.producer()
        # Never at 0, which librdkafka takes for 'now'.
        for second in range(10):
            producer.send(topic, b"x", partition=0, timestamp_ms=1_000 + second * 1_000)
        producer.flush()
        consumer = world.consumer(world.new_name(), topic)
        join(consumer)
        both = [full, empty]
        assert consumer.offsets_for_time(both, 4_500) == {full: 4, empty: 0}
        assert consumer.offsets_for_time(both, 1_000) == {full: 0, empty: 0}
        assert consumer.offsets_for_time(both, 10**12) == {full: 10, empty: 0}

    def test_a_second_member_takes_over_what_the_first_gives_up(
        self, world: World
    ) -> None:
        topic, group = world.topic(2), world.new_name()
        for partition in (0, 1):
            world.put(topic, numbered(10), partition)
        first = world.consumer(group, topic)
        start(first)
        before = first.assignment()
        second = world.consumer(group, topic)
        changes: list[Polled] = []

        def shared(_: list[Polled]) -> bool:
            changes.append(first.poll_batch(5_000, 0))
            return len(first.assignment()) == 1 == len(second.assignment())

        poll_until(second, shared)
        assert set().union(*(poll.revoked for poll in changes)) == before
        assert first.assignment() | second.assignment() == before
        assert values_of(silence(first, 0.3)) == []  # kept, but paused anew
        for consumer in (first, second):
            for partition in consumer.assignment():
                consumer.seek(partition, 0)
            consumer.resume(consumer.assignment())
            assert values_of(read(consumer, 10)) == numbered(10)

    def test_a_member_without_partitions_is_told_so(self, world: World) -> None:
        topic, group = world.topic(1), world.new_name()
        first = world.consumer(group, topic)
        join(first)
        second = world.consumer(group, topic)
        deadline = time.monotonic() + 15
        told = []
        while time.monotonic() < deadline:
            first.poll_batch(10, 0.05)
            told.append(second.poll_batch(10, 0.05).rebalanced)
            if any(told) and len(first.assignment() | second.assignment()) == 1:
                break
        assert any(told)
        assert len(first.assignment()) + len(second.assignment()) == 1

    def test_every_partition_is_named_whoever_reads_it(self, world: World) -> None:
        topic, group = world.topic(2), world.new_name()
        consumer = world.consumer(group, topic, world.new_name())
        assert consumer.partitions() == {TopicPartition(topic, n) for n in range(2)}
        world.grow(topic, 3)
        assert consumer.partitions() == {TopicPartition(topic, n) for n in range(3)}

    def test_closing_leaves_at_once(self, world: World) -> None:
        topic, group = world.topic(1), world.new_name()
        first = world.consumer(group, topic)
        join(first)
        second = world.consumer(group, topic)
        poll_until(second, lambda ps: any(p.rebalanced for p in ps), others=[first])
        leaver, heir = (first, second) if first.assignment() else (second, first)
        began = time.monotonic()
        leaver.close()
        assert time.monotonic() - began < 5
        poll_until(heir, lambda ps: bool(heir.assignment()), seconds=5)
        leaver.close()

    def test_a_topic_made_later_is_joined(self, world: World) -> None:
        there, later = world.topic(), world.new_name()
        consumer = world.consumer(world.new_name(), there, later)
        join(consumer)
        assert later not in consumer.topic_ids()
        world.create(later, 1, {})
        poll_until(
            consumer,
            lambda ps: TopicPartition(later, 0) in consumer.assignment(),
            seconds=20,
        )
        assert TopicPartition(there, 0) in consumer.assignment()

    def test_a_recreated_topic_has_a_new_id_and_is_read_on(self, world: World) -> None:
        topic = world.topic()
        tp = TopicPartition(topic, 0)
        world.put(topic, numbered(50))
        consumer = world.consumer(world.new_name(), topic)
        start(consumer)
        read(consumer, 50)
        old = consumer.topic_ids()[topic]
        cluster = consumer.cluster_id()
        world.recreate(topic)
        world.put(topic, [b"new"])
        polls: list[Polled] = []
        new = old
        deadline = time.monotonic() + 20
        while b"new" not in values_of(polls):
            assert time.monotonic() < deadline, polls[-3:]
            polls.append(consumer.poll_batch(5_000, 0.1))
            now = consumer.topic_ids().get(topic, old)
            if now != new or polls[-1].assigned:
                new = now
                if tp in consumer.assignment():
                    consumer.seek(tp, 0)
                    consumer.resume([tp])
        assert new != old
        assert consumer.cluster_id() == cluster

    def test_two_topics_are_read_together(self, world: World) -> None:
        one, two = world.topic(2), world.topic(1)
        world.put(one, numbered(10), 1)
        world.put(two, numbered(10, 50))
        consumer = world.consumer(world.new_name(), one, two)
        start(consumer)
        got = {
            (records.topic, records.partition, value)
            for poll in read(consumer, 20)
            for records in poll.records
            for value in records.values
        }
        assert got == {(one, 1, v) for v in numbered(10)} | {
            (two, 0, v) for v in numbered(10, 50)
        }
