"""What a consume loop does now and then, beside moving records."""

from __future__ import annotations

from collections.abc import Collection

from rtmlops_lib.logs import get_logger
from rtmlops_lib.services.cadence import Cadence
from rtmlops_lib.services.pipeline import Pipeline
from rtmlops_lib.services.report import Report
from rtmlops_lib.transport import EventConsumer, TransportUnavailable

__all__ = ["Housekeeping"]

log = get_logger(__name__)

# How often the loop looks at what changes rarely, in seconds.
TOPIC_CHECK_SECONDS = 2.0
LAG_SECONDS = 1.0
KAFKA_COMMIT_SECONDS = 1.0


class Housekeeping:
    """Questions to Kafka that no record waits for: topics, lag, and the commit.

    Each method asks only when it is time, and raises as the consumer does.

    Parameters
    ----------
    topics : collection of str
        What is read.
    pipeline : Pipeline
    report : Report
    cadence : Cadence
        The loop's; ``topics``, ``commit`` and ``lag`` are due by these names.
    """

    def __init__(
        self,
        *,
        topics: Collection[str],
        pipeline: Pipeline,
        report: Report,
        cadence: Cadence,
    ) -> None:
        self._topics = frozenset(topics)
        self._pipeline = pipeline
        self._report = report
        self._cadence = cadence

    def ask_anew(self) -> None:
        """Let everything be due that shows whether Kafka answers."""
        for question in ("claim", "topics", "lag"):
            self._cadence.now(question)

    def check_topics(self, consumer: EventConsumer) -> None:
        """Notice a topic that was deleted and made anew, or is gone."""
        if self._cadence.due("topics", TOPIC_CHECK_SECONDS):
            ids = consumer.topic_ids()
            self._report.absent(self._topics - ids.keys())
            self._pipeline.give_up_recreated(consumer, ids)

    def commit(self, consumer: EventConsumer) -> None:
        """Tell Kafka what is stored, for its lag tools."""
        pipeline = self._pipeline
        if pipeline.to_commit and self._cadence.due("commit", KAFKA_COMMIT_SECONDS):
            offsets, pipeline.to_commit = pipeline.to_commit, {}
            try:
                consumer.commit(offsets)
            except TransportUnavailable as fault:
                # For lag tools only; the next commit says the same and more.
                log.warning("kafka_commit_failed", error=str(fault))

    def report_lag(self, consumer: EventConsumer) -> None:
        """Show how far each partition is from its log's end."""
        claimed = self._pipeline.owned.claimed
        if not claimed or not self._cadence.due("lag", LAG_SECONDS):
            return
        ends = consumer.end_offsets([owned.tp for owned in claimed])
        self._report.lag(claimed, ends)

    def last_commit(self, consumer: EventConsumer) -> None:
        """Commit what has not been, whether or not it is time."""
        self._cadence.now("commit")
        self.commit(consumer)
