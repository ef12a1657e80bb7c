"""Simulated events of the past, that a chapter starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rtmlops_lib.errors import UsageError
from rtmlops_lib.services.generator import BackfillStore, Generator
from rtmlops_lib.simulator import DatacenterSimulator, SimulatorSettings
from rtmlops_lib.streams import JsonCodec, StreamSpec
from rtmlops_lib.transport import EventProducer

__all__ = ["History"]

# A fixed Wednesday: chapters print the same numbers whenever they run.
_END = datetime(2025, 10, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class History:
    """A seeded stretch of simulated events.

    Parameters
    ----------
    hours : float
        Length, up to ``end``.
    servers : int
        Size of the fleet.
    seed : int
        The same seed gives the same events.
    interval_seconds : float
        Sampling step.
    profile : str
        One of the simulator's profiles.
    end : datetime
        UTC-aware; the first moment that is not covered.

    Examples
    --------
    >>> History(hours=1, servers=20).events
    7200
    """

    hours: float
    servers: int = 20
    seed: int = 42
    interval_seconds: float = 10.0
    profile: str = "normal"
    end: datetime = _END

    def __post_init__(self) -> None:
        if not 0 < self.hours <= 24 * 60:
            raise UsageError(
                f"a history of {self.hours} hours", remedy="0 to 1440 hours"
            )

    @property
    def start(self) -> datetime:
        """The first moment that is covered."""
        return self.end - timedelta(hours=self.hours)

    @property
    def events(self) -> int:
        """The number of server readings."""
        return self.simulator().steps(self.start, self.end) * self.servers

    def simulator(self) -> DatacenterSimulator:
        """Return the simulator that yields these events."""
        return DatacenterSimulator(
            SimulatorSettings.of_profile(
                self.profile,
                servers=self.servers,
                interval_seconds=self.interval_seconds,
                seed=self.seed,
            )
        )

    def send(self, producer: EventProducer, specs: Sequence[StreamSpec]) -> int:
        """Send the events to the topics of ``specs``; return how many."""
        generator = Generator(self.simulator(), specs)
        return generator.backfill(producer, self.start, self.end).sent.total()

    def play(
        self, producer: EventProducer, specs: Sequence[StreamSpec], *, parts: int
    ) -> Iterator[datetime]:
        """Send the events part by part; yield how far simulated time has come.

        Parameters
        ----------
        producer : EventProducer
        specs : sequence of StreamSpec
            The streams to send, with the topics to send them to.
        parts : int
            In how many parts of equal length, the last perhaps shorter.

        Yields
        ------
        datetime
            The first moment that is not sent yet.
        """
        codecs = {spec.name: (spec.topic, JsonCodec(spec)) for spec in specs}
        simulator, done = self.simulator(), 0
        size = -(-simulator.steps(self.start, self.end) // parts)
        for chunk in simulator.chunks(self.start, self.end, chunk_steps=size):
            for batch in (chunk.labels, chunk.datacenter, chunk.services):
                if batch.spec.name not in codecs or not len(batch):
                    continue
                topic, codec = codecs[batch.spec.name]
                for key, value in zip(*codec.encode(batch), strict=True):
                    producer.send(topic, value, key=key)
            producer.flush()
            done += chunk.steps
            moment = self.start + timedelta(seconds=done * self.interval_seconds)
            yield min(moment, self.end)

    def keep(self, store: BackfillStore, specs: Sequence[StreamSpec]) -> int:
        """Store the events without Kafka; return how many."""
        generator = Generator(self.simulator(), specs)
        return generator.direct(store, self.start, self.end).sent.total()
