"""The detector's handler between decoded records and rows, without any server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.models.detect import WitnessModels
from rtmlops_lib.services.detector import DetectorHandler, detector_loop
from rtmlops_lib.services.intake import Chunk
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import (
    JsonCodec,
    RawRecords,
    StreamSpec,
    TopicPartition,
    anomaly_spec,
    builtin_specs,
)
from tests.support.detector_lab import Record, simulated

SPECS = builtin_specs()
SPEC = SPECS["datacenter"]
TP = TopicPartition(SPEC.topic, 0)
# As many have it: one row a host and metric, so that a key is called like a column.
LONG = StreamSpec.from_dict(
    {
        "name": "long",
        "topic": "long",
        "table": "long",
        "partition_key": "host",
        "series_key": ["host", "metric"],
        "identity": ["host", "metric", "time"],
        "fields": {
            "host": {"type": "string", "required": True},
            "metric": {"type": "string", "required": True},
            "value": {"type": "number", "required": True},
        },
    }
)


def handler(spec: StreamSpec = SPEC) -> DetectorHandler:
    return DetectorHandler([spec], {}, ServiceMetrics("detector"), detector="d")


def chunk(records: Sequence[Record], first: int = 0, spec: StreamSpec = SPEC) -> Chunk:
    n = len(records)
    raw = RawRecords(
        spec.topic,
        0,
        list(range(first, first + n)),
        [-1] * n,
        [key for key, _ in records],
        [value for _, value in records],
        [()] * n,
    )
    return Chunk(spec.name, raw, JsonCodec(spec).decode(raw))


RECORDS = simulated("datacenter", hours=0.5, servers=4)


def scores(handler_: DetectorHandler, *chunks: Chunk) -> list[float]:
    (batch,) = handler_.prepare(chunks).batches
    return batch.columns["score"].tolist()


@pytest.mark.parametrize("spec", [SPEC, SPECS["services"], LONG], ids=lambda s: s.name)
def test_every_row_has_every_column_of_its_table(spec: StreamSpec) -> None:
    records = (
        [
            (
                b"a",
                b'{"time": "2026-01-01T00:00:%02dZ", "host": "a", "metric": "m%d", '
                b'"value": 1}' % (n // 2, n % 2),
            )
            for n in range(20)
        ]
        if spec is LONG
        else simulated(spec.name, hours=0.05, servers=3)
    )
    (batch,) = handler(spec).prepare([chunk(records, spec=spec)]).batches
    table = anomaly_spec(spec)
    assert len(batch) == len(records) > 0
    assert batch.spec == table and batch.columns.keys() == table.fields.keys()
    assert all(len(column) == len(batch) for column in batch.columns.values())
    assert len(set(batch.identities())) == len(batch)
    if spec is LONG:
        assert set(batch.columns["metric"]) == {"m0", "m1"}
        assert batch.columns["anomaly_metric"].tolist() == [None] * 20


def test_records_that_are_prepared_again_are_scored_once() -> None:
    cuts = [chunk(RECORDS[:200]), chunk(RECORDS[200:], first=200)]
    once, again = handler(), handler()
    first = scores(once, *cuts)
    fresh = [chunk(RECORDS[:200]), chunk(RECORDS[200:], first=200)]
    scores(again, fresh[0])
    assert scores(again, *fresh) == scores(again, *fresh) == first
    assert once.snapshot(TP) == again.snapshot(TP)


def test_what_was_learned_counts_as_what_was_scored() -> None:
    whole, learned, restored = handler(), handler(), handler()
    expected = scores(whole, chunk(RECORDS))[300:]
    learned.learn(chunk(RECORDS[:300]))
    state = learned.snapshot(TP)
    assert state is not None
    assert scores(learned, chunk(RECORDS[300:], first=300)) == expected
    restored.restore(TP, state)
    assert scores(restored, chunk(RECORDS[300:], first=300)) == expected
    assert max(expected) > 0.0


def test_a_dropped_partition_begins_afresh() -> None:
    one = handler()
    first = scores(one, chunk(RECORDS))
    one.dropped([TP])
    assert one.snapshot(TP) is None
    assert scores(one, chunk(RECORDS)) == first


def test_other_streams_and_other_bytes_are_refused_by_name() -> None:
    services = handler(SPECS["services"])
    services.learn(
        chunk(simulated("services", hours=0.05), spec=SPECS["services"]),
    )
    other = services.snapshot(TopicPartition("service-metrics", 0))
    mine = handler()
    mine.learn(chunk(RECORDS))
    good = mine.snapshot(TP)
    assert other is not None and good is not None
    broken = bytearray(good)
    broken[len(broken) // 2] ^= 1
    for data in (b"", b"RTMS", other, bytes(broken), good[:-1]):
        with pytest.raises(UsageError, match="snapshot"):
            handler().restore(TP, data)


def test_broken_records_are_counted_and_left_to_storage() -> None:
    prepared = handler().prepare([chunk([(b"a", b"{"), *RECORDS[:4]])])
    assert (len(prepared.skipped), prepared.letters) == (1, [])
    assert len(prepared.batches[0]) == 4


def test_the_models_are_read_once_a_batch() -> None:
    class Changing:
        asked = 0

        @property
        def models(self) -> WitnessModels:
            self.asked += 1
            return WitnessModels()

    witnesses = Changing()
    one = DetectorHandler(
        [SPEC],
        {"datacenter": witnesses},  # type: ignore[dict-item]
        ServiceMetrics("detector"),
    )
    cuts = [chunk(RECORDS[:100]), chunk(RECORDS[100:200], first=100)]
    one.prepare(cuts)
    one.prepare(cuts)
    assert witnesses.asked == 1


def test_a_stream_without_anything_to_watch_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to watch"):
        detector_loop(Settings(), [SPECS["labels"]], {})


def test_flags_follow_the_score() -> None:
    (batch,) = handler().prepare([chunk(simulated("datacenter", hours=2))]).batches
    flagged, score = batch.columns["flagged"], batch.columns["score"]
    assert flagged.any()
    np.testing.assert_array_equal(flagged, score >= 0.5)
    named = batch.columns["metric"] != None  # noqa: E711 - elementwise
    assert named[flagged].all()
