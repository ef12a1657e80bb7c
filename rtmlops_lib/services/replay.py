"""Sending dead letters again, at most three times each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtmlops_lib.errors import UsageError
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.transport import EventProducer
from rtmlops_lib.transport.dead_letters import DeadLetter

__all__ = [
    "MAX_REPLAYS",
    "LetterFilter",
    "Replayed",
    "edited",
    "read_repairs",
    "replay",
    "shown",
]

# A letter that came back three times will come back a fourth.
MAX_REPLAYS = 3


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; an empty part means any.

    Examples
    --------
    >>> LetterFilter(reasons=("naive_time",)).empty
    False
    """

    reasons: Sequence[str] = ()
    keys: Sequence[str] = ()
    contains: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was filtered for."""
        return not (self.reasons or self.keys or self.contains)

    def matches(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.keys or letter.letter_key in self.keys)
            and self.contains.encode() in (letter.value or b"")
        )


@dataclass(slots=True)
class Replayed:
    """What a replay did: keys sent, and keys left alone with the reason."""

    sent: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def shown(value: bytes | None) -> str | None:
    r"""Return a key or value as ``rtmlops dlq`` prints it; other bytes as escapes.

    Examples
    --------
    >>> shown(b"20 \xc2\xb0C, \xff")
    '20 °C, \\xff'
    """
    return None if value is None else value.decode("utf-8", "backslashreplace")


def read_repairs(path: Path) -> dict[str, bytes | None]:
    """Return values by letter key, None for a tombstone.

    The file holds what ``rtmlops dlq list --json`` prints, or one such object a
    line, with ``value`` repaired (a string, or a JSON object).

    Raises
    ------
    UsageError
        Naming the line or entry that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            remedy="give the output of 'rtmlops dlq list --json', values repaired",
        ) from error
    try:
        entries = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path} is no JSON: {error}",
            remedy="write what 'rtmlops dlq list --json' prints, values repaired",
        ) from error
    return dict(_repair(entry, path) for entry in entries)


def edited(
    letters: Iterable[DeadLetter], values: Mapping[str, bytes | None]
) -> dict[str, bytes | None]:
    """Return the values that are not what ``shown`` gives of their letters."""
    return {
        letter.letter_key: values[letter.letter_key]
        for letter in letters
        if letter.letter_key in values
        and shown(values[letter.letter_key]) != shown(letter.value)
    }


def _repair(entry: Any, path: Path) -> tuple[str, bytes | None]:
    if not isinstance(entry, dict) or not {"letter_key", "value"} <= entry.keys():
        raise UsageError(
            f"an entry of {path} has no letter_key or no value: {str(entry)[:80]}",
            remedy="write what 'rtmlops dlq list --json' prints, values repaired",
        )
    value, key = entry["value"], str(entry["letter_key"])
    if value is None:
        return key, None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return key, text.encode()


def replay(
    letters: Iterable[DeadLetter],
    store: PostgresStore,
    producer: EventProducer,
    *,
    repairs: Mapping[str, bytes | None] | None = None,
) -> Replayed:
    """Send letters to the topic they came from.

    Sent first, counted after: a crash in between sends one twice, which identity
    makes harmless, where the other order would lose it.

    Parameters
    ----------
    letters : iterable of DeadLetter
    store : PostgresStore
        Holds the table of replays.
    producer : EventProducer
    repairs : mapping of str to bytes or None, optional
        New values by letter key; letters without one are sent as they were.
    """
    chosen = list(letters)
    counts = store.replay_counts([letter.letter_key for letter in chosen])
    done = Replayed()
    for letter in chosen:
        value = (repairs or {}).get(letter.letter_key, letter.value)
        former = max(letter.replay_count, counts.get(letter.letter_key, 0))
        if former >= MAX_REPLAYS:
            done.refused[letter.letter_key] = f"replayed {former} times already"
        elif letter.truncated and letter.letter_key not in (repairs or {}):
            done.refused[letter.letter_key] = "only the head of its value was kept"
        elif value is None and letter.key is None:
            done.refused[letter.letter_key] = "it has neither key nor value"
        else:
            headers = [h for h in letter.headers if h[0] != "replay_count"]
            producer.send(
                letter.topic,
                value,
                key=letter.key,
                headers=[*headers, ("replay_count", str(former + 1).encode())],
            )
            done.sent.append(letter.letter_key)
    producer.flush()
    topics = {letter.letter_key: letter.topic for letter in chosen}
    for key in done.sent:
        store.record_replay(key, topics[key])
    return done
