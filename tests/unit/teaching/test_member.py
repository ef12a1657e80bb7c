"""Who owned what when, from what members reported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from rtmlops_lib.teaching import GroupMember, ownership


@dataclass
class ReportedProcess:
    """A process as far as a member looks at one: its name and what it printed."""

    name: str
    output: Path
    running: bool = True

    def kill(self) -> None:
        self.running = False

    def stop(self) -> int:
        self.running = False
        return 0


@pytest.fixture
def member(tmp_path: Path) -> Any:
    def make(name: str, *changes: tuple[float, list[int]], tail: str = "") -> Any:
        output = tmp_path / f"{name}.out"
        lines = [json.dumps({"at": at, "owns": owns}) + "\n" for at, owns in changes]
        output.write_text("".join(lines) + tail, encoding="utf-8")
        return GroupMember(cast(Any, ReportedProcess(name, output)))

    return make


def stretches(
    *members: GroupMember, until: float
) -> list[tuple[str, int, float, float]]:
    frame = ownership(members, until=until)
    return sorted(tuple(row) for row in frame.itertuples(index=False))


def test_a_stretch_lasts_until_the_partition_is_reported_gone(member: Any) -> None:
    anna = member("anna", (1.0, [0, 1]), (5.0, [0]))
    ben = member("ben", (5.5, [1]))
    assert stretches(anna, ben, until=9.0) == [
        ("anna", 0, 1.0, 9.0),
        ("anna", 1, 1.0, 5.0),
        ("ben", 1, 5.5, 9.0),
    ]


def test_a_partition_that_comes_back_makes_two_stretches(member: Any) -> None:
    anna = member("anna", (1.0, [2]), (2.0, []), (3.0, [2]))
    assert stretches(anna, until=4.0) == [("anna", 2, 1.0, 2.0), ("anna", 2, 3.0, 4.0)]


def test_nothing_is_owned_before_the_first_report(member: Any) -> None:
    assert member("anna").owns == []
    assert stretches(member("ben"), until=4.0) == []


def test_a_half_written_line_is_left_for_the_next_look(member: Any) -> None:
    anna = member("anna", (1.0, [0]), tail='{"at": 2.0, "ow')
    assert anna.owns == [0]


@pytest.mark.parametrize("how", ["kill", "leave"])
def test_whoever_ended_owns_nothing_from_that_moment(member: Any, how: str) -> None:
    anna = member("anna", (1.0, [0, 1]))
    ended_at = getattr(anna, how)()
    assert anna.owns == []
    assert stretches(anna, until=ended_at + 5) == [
        ("anna", 0, 1.0, ended_at),
        ("anna", 1, 1.0, ended_at),
    ]
