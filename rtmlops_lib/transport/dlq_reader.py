"""Reading a dead-letter topic from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport.dead_letters import DeadLetter, parse_dead_letters
from rtmlops_lib.transport.reader import read_topic

__all__ = ["read_dead_letters"]


def read_dead_letters(settings: Settings, dlq_topic: str) -> Iterator[DeadLetter]:
    """Yield each dead letter of a topic once, the first of those with one key.

    Raises
    ------
    UsageError
        When the topic does not exist.
    TransportUnavailable
        When no broker answers.

    Notes
    -----
    Taught in chapter 04.
    """
    seen: set[str] = set()
    for records in read_topic(settings, dlq_topic):
        for letter in parse_dead_letters(records):
            if letter.letter_key not in seen:
                seen.add(letter.letter_key)
                yield letter
