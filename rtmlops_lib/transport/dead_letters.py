"""Dead letters: records that are no event, kept with the reason why."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rtmlops_lib.streams import RawRecords
from rtmlops_lib.transport.admin import DLQ_SUFFIX, TopicAdmin
from rtmlops_lib.transport.ports import EventProducer

__all__ = [
    "DeadLetter",
    "DeadLetterSink",
    "build_dead_letter",
    "dlq_topic",
    "letter_key",
    "parse_dead_letter",
    "parse_dead_letters",
]

# Headers of ours; those of the original follow under this prefix.
_ORIGINAL = "original."
_DETAIL_BYTES = 2_000
_RECORD_KEY_BYTES = 4_096
# Frame of batch and record, and our headers at their longest.
_FRAME_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that was refused, and why.

    Parameters
    ----------
    letter_key : str
        ``cluster_id/topic_id/partition/offset``: what makes two letters the same.
    topic, partition, offset
        Where the record stood.
    reason, detail : str
        The class of the fault, and its particulars.
    time : datetime
        When it was refused, UTC.
    key, value : bytes or None
        The record's own; ``value`` is cut where ``truncated``.
    headers : tuple of (str, bytes)
        The record's own headers, as far as they fitted.
    replay_count : int
        How often this event has been replayed.
    size : int
        Length of the whole value in bytes, 0 for a null.
    sha256 : str
        Of the whole value; empty unless ``truncated``.
    """

    letter_key: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    time: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    replay_count: int = 0
    size: int = 0
    sha256: str = ""
    truncated: bool = False
    dlq_offset: int = field(default=-1, compare=False)


def dlq_topic(source: str, group: str | None = None) -> str:
    """Return where the letters of a topic go, or those of a group that reads it.

    Examples
    --------
    >>> dlq_topic("datacenter-metrics"), dlq_topic("datacenter-metrics", "detector")
    ('datacenter-metrics.dlq', 'datacenter-metrics.detector.dlq')
    """
    return f"{source}.{group}{DLQ_SUFFIX}" if group else f"{source}{DLQ_SUFFIX}"


def letter_key(cluster_id: str, topic_id: str, partition: int, offset: int) -> str:
    """Return the key that makes a dead letter unique.

    Examples
    --------
    >>> letter_key("c1", "t1", 2, 40)
    'c1/t1/2/40'
    """
    return f"{cluster_id}/{topic_id}/{partition}/{offset}"


def build_dead_letter(
    records: RawRecords,
    index: int,
    *,
    reason: str,
    detail: str,
    key: str,
    max_bytes: int,
    now: float | None = None,
) -> tuple[bytes, bytes | None, list[tuple[str, bytes]]]:
    """Return the key, value and headers of the letter for one record.

    Parameters
    ----------
    records : RawRecords
        Holds the record.
    index : int
        Which of them.
    reason, detail : str
        Why it was refused.
    key : str
        From ``letter_key``.
    max_bytes : int
        What the dead-letter topic takes; the value is cut to fit, headers of the
        original are left out first.
    now : float, optional
        Seconds since 1970; the clock's by default.
    """
    value, original_key = records.values[index], records.keys[index]
    own = list(records.headers[index])
    at = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    text = {
        "topic": records.topic,
        "partition": str(records.partition),
        "offset": str(records.offsets[index]),
        "reason": str(reason),
        "detail": _clean(detail),
        "time": at.isoformat(),
        "replay_count": str(_replays(own)),
        "size": str(len(value or b"")),
    }
    headers = [(name, content.encode()) for name, content in text.items()]
    if original_key is not None:
        headers.append(("key", original_key[:_RECORD_KEY_BYTES]))
    room = max_bytes - _FRAME_BYTES - len(key) - _length(headers)
    kept = [
        (_ORIGINAL + name, content or b"")
        for name, content in own
        if name != "replay_count"
    ]
    whole = len(value or b"")
    if whole + _length(kept) > room:
        kept = []
    headers += kept
    if value is not None and whole > room:
        digest = hashlib.sha256(value).hexdigest().encode()
        headers += [("sha256", digest), ("truncated", b"1")]
        value = value[: max(0, room - 128)]
    return key.encode(), value, headers


def parse_dead_letters(records: RawRecords) -> list[DeadLetter]:
    """Return the dead letters among the records of a dead-letter topic."""
    letters = (parse_dead_letter(records, index) for index in range(len(records)))
    return [letter for letter in letters if letter is not None]


def parse_dead_letter(records: RawRecords, index: int = 0) -> DeadLetter | None:
    """Return one record of a dead-letter topic read back, None where it is none."""
    key = records.keys[index]
    headers = dict(records.headers[index])
    try:
        return DeadLetter(
            letter_key=(key or b"").decode(),
            topic=headers["topic"].decode(),
            partition=int(headers["partition"]),
            offset=int(headers["offset"]),
            reason=headers["reason"].decode(),
            detail=headers.get("detail", b"").decode(errors="replace"),
            time=datetime.fromisoformat(headers["time"].decode()),
            key=headers.get("key"),
            value=records.values[index],
            headers=tuple(
                (name.removeprefix(_ORIGINAL), content)
                for name, content in records.headers[index]
                if name.startswith(_ORIGINAL)
            ),
            replay_count=int(headers.get("replay_count", b"0")),
            size=int(headers.get("size", b"0")),
            sha256=headers.get("sha256", b"").decode(),
            truncated=headers.get("truncated") == b"1",
            dlq_offset=records.offsets[index],
        )
    except (KeyError, ValueError):
        return None


class DeadLetterSink:
    """Sends dead letters and waits until Kafka has them.

    Parameters
    ----------
    producer : EventProducer
        Open; closed by whoever opened it.
    admin : TopicAdmin
        Creates a dead-letter topic when its first letter is sent.
    group : str, optional
        A group of its own: its letters go to ``<topic>.<group>.dlq``; the storage
        group's, without one, to ``<topic>.dlq``.
    """

    def __init__(
        self, producer: EventProducer, admin: TopicAdmin, *, group: str | None = None
    ) -> None:
        self.producer = producer
        self.admin = admin
        self.group = group
        self._limits: dict[str, int] = {}

    def topic_for(self, source: str) -> str:
        """Return the dead-letter topic of a source topic."""
        return dlq_topic(source, self.group)

    def send(
        self,
        records: RawRecords,
        refused: Iterable[tuple[int, str, str]],
        *,
        cluster_id: str,
        topic_id: str,
    ) -> int:
        """Hand over the letters of some records; ``flush`` makes sure of them.

        Parameters
        ----------
        records : RawRecords
            Hold the refused records.
        refused : iterable of (int, str, str)
            Index, reason and detail of each.
        cluster_id, topic_id : str
            Where the records come from.

        Returns
        -------
        int
            How many were handed over.

        Raises
        ------
        TransportUnavailable, ConfigurationFault
            When the dead-letter topic cannot be made, or the buffer stays full.
        """
        count = 0
        topic = self.topic_for(records.topic)
        for index, reason, detail in refused:
            offset = records.offsets[index]
            key, value, headers = build_dead_letter(
                records,
                index,
                reason=reason,
                detail=detail,
                key=letter_key(cluster_id, topic_id, records.partition, offset),
                max_bytes=self._limit(records.topic, topic),
            )
            self.producer.send(topic, value, key=key, headers=headers)
            count += 1
        return count

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Return once Kafka has every letter handed over.

        Raises
        ------
        DeliveryFailed
            When it has not; send them again, readers see each once.
        """
        self.producer.flush(timeout_seconds)

    def _limit(self, source: str, topic: str) -> int:
        if topic not in self._limits:
            self.admin.ensure_dlq(source, topic)
            self._limits[topic] = self.admin.describe([topic])[topic].max_message_bytes
        return self._limits[topic]


def _replays(headers: list[tuple[str, bytes]]) -> int:
    for name, content in headers:
        if name == "replay_count":
            try:
                return max(0, int(content))
            except (TypeError, ValueError):
                return 0
    return 0


def _clean(text: str) -> str:
    # Lone surrogates, as of broken input quoted in a message, have no UTF-8.
    encoded = text.encode("utf-8", "backslashreplace")[:_DETAIL_BYTES]
    return encoded.decode("utf-8", "ignore")


def _length(headers: list[tuple[str, bytes]]) -> int:
    # Two lengths of up to five bytes each beside name and content.
    return sum(len(name.encode()) + len(content) + 10 for name, content in headers)
