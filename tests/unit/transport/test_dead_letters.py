"""Dead letters: built, cut to size, read back."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.streams import RawRecords
from rtmlops_lib.transport.dead_letters import (
    DeadLetter,
    build_dead_letter,
    letter_key,
    parse_dead_letter,
)

LIMIT = 1_000_000


def raw(value=b"v", key=b"k", headers=()) -> RawRecords:
    return RawRecords("trips", 2, [40], [1], [key], [value], [headers])


def there_and_back(records: RawRecords, limit: int = LIMIT, **changes) -> DeadLetter:
    arguments = {"reason": "not_json", "detail": "d", "key": "c/t/2/40", **changes}
    key, value, headers = build_dead_letter(
        records, 0, max_bytes=limit, now=0.0, **arguments
    )
    stored = RawRecords("trips.dlq", 0, [7], [1], [key], [value], [headers])
    letter = parse_dead_letter(stored)
    assert letter is not None
    return letter


@given(
    value=st.none() | st.binary(max_size=50),
    key=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3),
    detail=st.text(alphabet=st.characters(), max_size=3_000),
)
def test_a_letter_carries_the_record_unchanged(value, key, headers, detail) -> None:
    own = [h for h in headers if h[0] != "replay_count"]
    letter = there_and_back(raw(value, key, own), detail=detail)
    assert (letter.topic, letter.partition, letter.offset) == ("trips", 2, 40)
    assert (letter.value, letter.key) == (value, key)
    assert list(letter.headers) == own
    assert letter.size == len(value or b"") and not letter.truncated
    assert letter.letter_key == letter_key("c", "t", 2, 40)
    assert letter.reason == "not_json" and letter.dlq_offset == 7


@given(size=st.integers(0, 30_000), limit=st.integers(8_000, 20_000))
def test_a_letter_never_exceeds_what_the_topic_takes(size: int, limit: int) -> None:
    value = b"x" * size
    headers = [("big", b"y" * 3_000)]
    key, kept, own = build_dead_letter(
        raw(value, b"k" * 600, headers),
        0,
        reason="too_large",
        detail="d" * 3_000,
        key="c/t/2/40",
        max_bytes=limit,
    )
    total = len(key) + len(kept or b"") + sum(len(n) + len(c) + 10 for n, c in own)
    assert total + 200 <= limit
    told = dict(own)
    if kept == value:
        assert "truncated" not in told
    else:
        assert value.startswith(kept or b"")
        assert told["sha256"].decode() == hashlib.sha256(value).hexdigest()
    assert int(told["size"]) == size


def test_broken_text_in_the_detail_is_told_all_the_same() -> None:
    assert there_and_back(raw(), detail="\udcff\x00é").detail == "\\udcff\x00é"


def test_the_replay_count_goes_with_the_event() -> None:
    again = there_and_back(raw(headers=[("replay_count", b"2"), ("a", b"1")]))
    assert again.replay_count == 2 and again.headers == (("a", b"1"),)
    assert there_and_back(raw(headers=[("replay_count", b"?")])).replay_count == 0


def test_what_is_no_letter_is_told_apart() -> None:
    assert parse_dead_letter(raw()) is None
    assert parse_dead_letter(raw(key=b"\xff", headers=[("topic", b"t")])) is None
