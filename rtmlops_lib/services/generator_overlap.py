"""What a topic holds already of the times that a run is about to send."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rtmlops_lib.errors import DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import JsonCodec, StreamSpec
from rtmlops_lib.transport.reader import read_newest

__all__ = ["newest_event", "warn_of_overlap"]

log = get_logger(__name__)

# The newest records need not be the newest events: two senders may have met.
_LOOKED_AT = 300
_EPOCH = datetime.fromtimestamp(0, UTC)


def newest_event(settings: Settings, specs: Iterable[StreamSpec]) -> datetime | None:
    """Return the latest event time among the newest records of the topics.

    None where there is no event, or where we may not read: sending needs no such
    right. Labels are left out, whose times are those of other events.
    """
    newest: datetime | None = None
    for spec in specs:
        if spec.name == "labels":
            continue
        codec = JsonCodec(spec)
        try:
            for raw in read_newest(settings, spec.topic, _LOOKED_AT):
                times = codec.decode(raw).batch.time
                if len(times):
                    last = _EPOCH + timedelta(microseconds=int(times.max()))
                    newest = last if newest is None else max(newest, last)
        except DependencyUnavailable:
            return None
    return newest


def warn_of_overlap(newest: datetime, start: datetime) -> None:
    """Say what becomes of events at times for which there are events already."""
    log.warning(
        "generator_overlap",
        held_until=f"{newest:%Y-%m-%dT%H:%M:%SZ}",
        begins=f"{start:%Y-%m-%dT%H:%M:%SZ}",
        meaning="of two events with the same server and time the first one stays; "
        "a second that differs becomes a dead letter (conflict)",
        remedy="with the --seed, --profile, --interval and --drift of before they do "
        "not differ; else give another --topic-prefix",
    )
