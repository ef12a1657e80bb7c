"""The detector service: one score an event, one row an episode."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rtmlops_lib.errors import UsageError
from rtmlops_lib.logs import get_logger
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.detect.detector import (
    Detection,
    Detector,
    update_together,
)
from rtmlops_lib.models.detect.series import series_of
from rtmlops_lib.models.detect.witness_models import WitnessModels
from rtmlops_lib.services.anomalies import anomaly_event, anomaly_rows, versions_text
from rtmlops_lib.services.handler import StatefulHandler
from rtmlops_lib.services.health import Health
from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.services.letters import DeadLetters
from rtmlops_lib.services.loop import ConsumeLoop
from rtmlops_lib.services.loop_options import LoopOptions
from rtmlops_lib.services.prepared import Letter, Prepared
from rtmlops_lib.services.series_homes import SeriesHomes
from rtmlops_lib.services.witnesses import Witnesses
from rtmlops_lib.settings import Settings
from rtmlops_lib.store import AnomalyEvent
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import ColumnBatch, StreamSpec, TopicPartition, anomaly_spec
from rtmlops_lib.transport.factory import open_consumer

__all__ = ["DETECTOR_GROUP", "DETECTOR_NAME", "DetectorHandler", "detector_loop"]

log = get_logger(__name__)
DETECTOR_GROUP = "detector"
DETECTOR_NAME = "default"


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of a chunk, or of several with this one as the first."""

    rows: ColumnBatch | None = None
    episodes: list[AnomalyEvent] = field(default_factory=list)


_WITH_THE_FIRST = _Made()


class DetectorHandler(StatefulHandler):
    """Every event gets a score from its partition's detector.

    Parameters
    ----------
    specs : sequence of StreamSpec
    witnesses : mapping of str to Witnesses
        By stream name; a stream without any is scored by its own past alone.
    metrics : ServiceMetrics
    detector : str
        The name under which scores and episodes are stored.

    Notes
    -----
    What breaks codec or spec is counted and left to the storage service, which alone
    makes dead letters of it. Taught in chapter 07.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        witnesses: Mapping[str, Witnesses],
        metrics: ServiceMetrics,
        *,
        detector: str = DETECTOR_NAME,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._by_topic = {spec.topic: spec for spec in specs}
        self._tables = {spec.name: anomaly_spec(spec) for spec in specs}
        self._witnesses = witnesses
        self._metrics = metrics
        self._name = detector
        self._detectors: dict[TopicPartition, Detector] = {}
        self._homes = SeriesHomes()
        self._warned: set[str] = set()
        self._heard: dict[str, str | None] = {}

    def prepare(self, chunks: Sequence[Chunk]) -> Prepared:
        """Score what has not been; the models are read once a batch."""
        new: dict[TopicPartition, list[Chunk]] = {}
        for chunk in chunks:
            if chunk.made is None:
                new.setdefault(chunk.tp, []).append(chunk)
        for stream in {found[0].stream for found in new.values()}:
            self._score(stream, {t: f for t, f in new.items() if f[0].stream == stream})
        return self._gathered(chunks)

    def _score(
        self, stream: str, new: Mapping[TopicPartition, Sequence[Chunk]]
    ) -> None:
        """Let the detectors of a stream's partitions score what is new."""
        models = self._models(stream)
        batches = {
            tp: ColumnBatch.concat([chunk.decoded.batch for chunk in chunks])
            for tp, chunks in new.items()
        }
        events = {tp: batch for tp, batch in batches.items() if len(batch)}
        found = self._update(events, models)
        for tp, (first, *others) in new.items():
            first.made = _Made()
            if tp in found:
                first.made = self._made(stream, events[tp], found[tp], models)
            for chunk in others:
                chunk.made = _WITH_THE_FIRST

    def _made(
        self,
        stream: str,
        events: ColumnBatch,
        detection: Detection,
        models: WitnessModels,
    ) -> _Made:
        versions = versions_text(models)
        rows = anomaly_rows(
            events, self._tables[stream], self._name, detection, versions
        )
        spec = self._specs[stream]
        told = [anomaly_event(x, spec, self._name) for x in detection.episodes]
        return _Made(rows, told)

    def _update(
        self, events: Mapping[TopicPartition, ColumnBatch], models: WitnessModels
    ) -> dict[TopicPartition, Detection]:
        if not events:
            return {}
        for tp, batch in events.items():
            if tp not in self._detectors:
                self._detectors[tp] = Detector(self._by_topic[tp.topic])
            self._watch(tp, batch)
        detectors = [self._detectors[tp] for tp in events]
        found = update_together(detectors, list(events.values()), models)
        return dict(zip(events, found, strict=True))

    def _gathered(self, chunks: Sequence[Chunk]) -> Prepared:
        rows: dict[str, list[ColumnBatch]] = {}
        prepared = Prepared()
        for chunk in chunks:
            made: _Made = chunk.made
            if made.rows is not None:
                rows.setdefault(chunk.stream, []).append(made.rows)
            if made.episodes:
                told = prepared.anomaly_events.setdefault(chunk.tp, [])
                told += made.episodes
            prepared.skipped += [
                Letter(chunk.stream, chunk.raw, r.index, r.reason, r.detail)
                for r in chunk.decoded.rejects
            ]
        prepared.batches = [ColumnBatch.concat(parts) for parts in rows.values()]
        return prepared

    def _models(self, stream: str) -> WitnessModels:
        witnesses = self._witnesses.get(stream)
        models = WitnessModels() if witnesses is None else witnesses.models
        versions = versions_text(models)
        if self._heard.get(stream, "") != versions:
            self._heard[stream] = versions
            log.info("witnesses", stream=stream, models=versions or "none")
        return models

    def _watch(self, tp: TopicPartition, events: ColumnBatch) -> None:
        split = self._homes.meet(tp, series_of(events).tolist())
        if not split:
            return
        stream = events.spec.name
        self._metrics.split_series.labels(self._metrics.service, stream).inc(len(split))
        if stream not in self._warned:
            self._warned.add(stream)
            log.warning(
                "series_on_two_partitions",
                stream=stream,
                series=str(split[0]),
                remedy="let producers use the partition key "
                f"{events.spec.partition_key!r} as the record's key",
            )

    # -- state --------------------------------------------------------------------

    def restore(self, tp: TopicPartition, data: bytes) -> None:
        """Go on from a snapshot."""
        try:
            detector = Detector.restore(data, self._by_topic[tp.topic])
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Sound bytes that another release wrote.
            raise UsageError(
                f"the detector's snapshot cannot be read: {error!r}",
                remedy="nothing: the state is learned again from history",
            ) from error
        self._detectors[tp] = detector

    def learn(self, chunk: Chunk) -> None:
        """Take in records whose scores are stored already."""
        if len(chunk.decoded.batch):
            events = {chunk.tp: chunk.decoded.batch}
            self._update(events, self._models(chunk.stream))

    def snapshot(self, tp: TopicPartition) -> bytes | None:
        """Return the state of a partition."""
        detector = self._detectors.get(tp)
        return None if detector is None else detector.snapshot()

    def dropped(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the state of partitions that are no longer ours."""
        for tp in partitions:
            self._detectors.pop(tp, None)
        self._homes.forget(partitions)


def detector_loop(
    settings: Settings,
    specs: Sequence[StreamSpec],
    witnesses: Mapping[str, Witnesses],
    *,
    group: str = DETECTOR_GROUP,
    detector: str = DETECTOR_NAME,
    options: LoopOptions | None = None,
    metrics: ServiceMetrics | None = None,
    health: Health | None = None,
    group_instance_id: str | None = None,
) -> ConsumeLoop:
    """Return a loop that scores these streams' events; nothing is opened yet.

    Without ``options`` it behaves as the settings say.

    Raises
    ------
    UsageError
        For a stream without numbers to watch.
    """
    for spec in specs:
        if not spec.numeric_fields or not spec.watched:
            raise UsageError(
                f"stream {spec.name!r} has nothing to watch",
                remedy="name a number among its fields; 'watched: false' excludes it",
            )
    metrics = ServiceMetrics("detector") if metrics is None else metrics
    return ConsumeLoop(
        group=group,
        specs=specs,
        open_consumer=lambda: open_consumer(
            settings,
            group=group,
            topics=[spec.topic for spec in specs],
            group_instance_id=group_instance_id,
        ),
        store=open_store(settings),
        handler=DetectorHandler(specs, witnesses, metrics, detector=detector),
        sink=DeadLetters(settings, group=group),
        metrics=metrics,
        health=Health() if health is None else health,
        options=LoopOptions.from_settings(settings) if options is None else options,
    )
