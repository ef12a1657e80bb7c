"""Bytes to columns, or a reason why not; and columns to bytes."""

from __future__ import annotations

from dataclasses import dataclass

from rtmlops_lib.streams._decode import decode_records
from rtmlops_lib.streams._encode import encode_batch
from rtmlops_lib.streams._parse import EventParser
from rtmlops_lib.streams.batch import ColumnBatch
from rtmlops_lib.streams.raw import RawRecords
from rtmlops_lib.streams.reasons import Reason, Reject
from rtmlops_lib.streams.spec import StreamSpec

__all__ = ["Decoded", "JsonCodec", "RawRecords", "Reject", "Reason"]


@dataclass(slots=True)
class Decoded:
    """What a codec made of records: the valid events, and the rest with reasons.

    ``rejects`` are ordered by their place; every record is in one of the two.
    """

    batch: ColumnBatch
    rejects: list[Reject]


class JsonCodec:
    """JSON objects in UTF-8, one an event.

    Types are strict: ``true`` and ``"1"`` are no numbers, ``5.0`` is no integer; a
    number may be written without a fraction. Null is absence. Of a key that is
    written twice in one object the last counts. An empty string is a string, in an
    identity too. Unknown fields are kept as JSON text, their numbers with the
    precision of a 64-bit float, integers exactly. A record's key may be absent or
    differ from the event's own; only its length matters here.

    Parameters
    ----------
    spec : StreamSpec
        What an event must look like.

    Notes
    -----
    Taught in chapter 02.

    Examples
    --------
    >>> from rtmlops_lib.streams import RawRecords, builtin_specs
    >>> codec = JsonCodec(builtin_specs()["services"])
    >>> good = (
    ...     b'{"time": "2025-09-30T12:34:56Z", "service": "web", "server_id": "srv-1",'
    ...     b' "request_rate": 120, "latency_p95_ms": 85.5, "error_rate": 0.01,'
    ...     b' "zone": "b"}'
    ... )
    >>> bad = good.replace(b"0.01", b"1.01")
    >>> records = RawRecords(
    ...     "service-metrics", 0, [7, 8], [-1, -1], [b"web"] * 2, [good, bad], [[]] * 2
    ... )
    >>> decoded = codec.decode(records)
    >>> decoded.batch.offset.tolist(), decoded.batch.attributes.tolist()
    ([7], ['{"zone":"b"}'])
    >>> print(decoded.rejects[0].reason, "-", decoded.rejects[0].detail)
    out_of_bounds - error_rate: expected at most 1, found 1.01
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self._parser = EventParser(spec)

    def decode(self, records: RawRecords) -> Decoded:
        """Turn records into columns; raises nothing, whatever the bytes.

        The verdict on a record depends on its bytes, its timestamp and the spec
        alone: not on the clock, nor on the records beside it.
        """
        return Decoded(*decode_records(self.spec, self._parser, records))

    def encode(self, batch: ColumnBatch) -> tuple[list[bytes], list[bytes]]:
        """Return keys and values, one of each an event.

        Absent fields are left out, attributes are fields again. Decoding gives the
        batch back, save that ``epoch_s`` and ``epoch_ms`` times with a fraction pass
        through a 64-bit float, exact to the microsecond until the year 2255.
        """
        return encode_batch(batch)
