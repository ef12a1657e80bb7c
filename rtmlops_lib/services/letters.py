"""Where a service's dead letters go: ``<topic>.dlq``, or a group's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from rtmlops_lib.services.handler import LetterSink
from rtmlops_lib.services.prepared import Letter
from rtmlops_lib.settings import Settings
from rtmlops_lib.store import TopicRef
from rtmlops_lib.transport import EventProducer
from rtmlops_lib.transport.admin import TopicAdmin
from rtmlops_lib.transport.dead_letters import DeadLetterSink
from rtmlops_lib.transport.factory import open_admin, open_producer

__all__ = ["DeadLetters"]

# Shorter than the write's deadline: the transaction is open meanwhile.
FLUSH_SECONDS = 5.0


class DeadLetters(LetterSink):
    """Sends letters to Kafka; connects at the first one, as most runs have none.

    Parameters
    ----------
    settings : Settings
    group : str, optional
        Whose letters they are: they go to ``<topic>.<group>.dlq``. None for storage,
        whose letters are those of the topic.
    """

    def __init__(self, settings: Settings, *, group: str | None = None) -> None:
        self._settings = settings
        self._group = group
        self._producer: EventProducer | None = None
        self._admin: TopicAdmin | None = None
        self._sink: DeadLetterSink | None = None

    def send(self, letters: Sequence[Letter], refs: Mapping[str, TopicRef]) -> None:
        """As ``LetterSink.send``."""
        sink = self._connected()
        try:
            for _, group in groupby(letters, key=lambda letter: id(letter.raw)):
                same = list(group)
                raw = same[0].raw
                ref = refs[raw.topic]
                sink.send(
                    raw,
                    [(x.index, x.reason, x.detail) for x in same],
                    cluster_id=ref.cluster_id,
                    topic_id=ref.topic_id,
                )
            sink.flush(FLUSH_SECONDS)
        except Exception:
            # A producer that failed once may hold records that fail for ever.
            self.close()
            raise

    def _connected(self) -> DeadLetterSink:
        if self._sink is None:
            self._admin = open_admin(self._settings)
            self._producer = open_producer(self._settings)
            self._sink = DeadLetterSink(self._producer, self._admin, group=self._group)
        return self._sink

    def close(self) -> None:
        """Close what is open; the next letter connects anew.

        Called on the writer thread after a failure, and on the loop's at the end: a
        ``send`` that is still under way then fails, and nobody waits for it.
        """
        if self._producer is not None:
            self._producer.close()
        if self._admin is not None:
            self._admin.close()
        self._producer = self._admin = self._sink = None
