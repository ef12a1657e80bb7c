"""A consume loop between a broker and a store in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.handler import Handler, LetterSink
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.prepared import Letter
from rtmlops_lib.services.storage import StorageHandler
from rtmlops_lib.store import TopicRef
from rtmlops_lib.streams import builtin_specs
from rtmlops_lib.transport.errors import DeliveryFailed
from rtmlops_lib.transport.memory import MemoryBroker
from tests.support.memory_store import MemoryDatabase, MemoryStore

SPEC = builtin_specs()["datacenter"]


class MemoryLetters(LetterSink):
    """Keeps letters by key; fails while told to."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int, int], str] = {}
        self.failures = 0

    def send(self, letters: Sequence[Letter], refs: Mapping[str, TopicRef]) -> None:
        if self.failures:
            self.failures -= 1
            raise DeliveryFailed("no broker took it")
        for x in letters:
            ref = refs[x.raw.topic]
            place = (ref.topic_id, x.raw.partition, x.raw.offsets[x.index])
            self.kept[place] = x.reason

    def close(self) -> None:
        return


@dataclass
class Running:
    """A loop on a thread of its own, and what it reports."""

    loop: ConsumeLoop
    health: Health
    metrics: ServiceMetrics
    thread: threading.Thread = field(init=False)
    code: int | None = None
    error: BaseException | None = None

    def start(self) -> Running:
        def work() -> None:
            try:
                self.code = self.loop.run()
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def finish(self, timeout: float = 15) -> int:
        self.loop.stop()
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "the loop did not stop"
        if self.error is not None:
            raise self.error
        assert self.code is not None
        return self.code

    def sample(self, name: str, **labels: str) -> float:
        labels = {"service": "storage", **labels}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class World:
    """A broker, a database and any number of loops between them."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topic(SPEC.topic, partitions=3)
        self.database = MemoryDatabase()
        self.letters = MemoryLetters()
        self.running: list[Running] = []

    def start(
        self,
        store: MemoryStore | None = None,
        *,
        handler: Handler | None = None,
        **options: object,
    ) -> Running:
        metrics, health = ServiceMetrics("storage"), Health()
        loop = ConsumeLoop(
            group="storage",
            specs=[SPEC],
            open_consumer=lambda: self.broker.consumer(
                group="storage", topics=[SPEC.topic]
            ),
            store=store or MemoryStore(self.database),
            handler=handler or StorageHandler(),
            sink=self.letters,
            metrics=metrics,
            health=health,
            options=LoopOptions(**{"batch_max_seconds": 0.02, **options}),  # type: ignore[arg-type]
        )
        # Listed before it runs: what it calls back may ask for it at once.
        self.running.append(Running(loop, health, metrics))
        return self.running[-1].start()

    def send(self, key: bytes | None, value: bytes | None, partition: int = 0) -> None:
        producer = self.broker.producer()
        producer.send(SPEC.topic, value, key=key, partition=partition)
        producer.flush()

    def ends(self) -> int:
        return sum(log.end for log in self.broker.topics[SPEC.topic].logs)

    def stored(self) -> int:
        """Return how many offsets of the present topic are stored."""
        topic_id = self.broker.topics[SPEC.topic].id
        with self.database.lock:
            return sum(
                offset
                for (_, known, _), (offset, _) in self.database.offsets.items()
                if known == topic_id
            )

    def close(self) -> None:
        for running in self.running:
            running.loop.stop()
        for running in self.running:
            running.thread.join(15)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def eventually(condition: object, timeout: float = 10) -> None:
    """Wait for a callable to become true."""
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)
