"""The members that a chapter starts, against a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.teaching import GroupMember, wait_until
from rtmlops_lib.teaching.lab import Lab

# Measures how soon a member is replaced.
pytestmark = [pytest.mark.live, pytest.mark.alone]


@pytest.fixture
def lab(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(93, Settings(kafka_bootstrap_servers=kafka_bootstrap, home=tmp_path))
    topic = lab.topic("shared")
    lab.admin().create(topic, partitions=2)
    yield lab
    lab.admin().delete([topic])
    lab.close()


def wait_for(member: GroupMember, partitions: list[int]) -> None:
    wait_until(
        lambda: member.owns == partitions, timeout=40, what=f"{partitions} to be owned"
    )


@pytest.mark.parametrize("how", ["kill", "leave"])
def test_what_an_ended_member_owned_goes_to_the_survivor(lab: Lab, how: str) -> None:
    first = lab.member("first", group=how, topic="shared")
    wait_for(first, [0, 1])
    second = lab.member("second", group=how, topic="shared")
    wait_until(lambda: len(second.owns) == 1, timeout=40, what="a share")
    getattr(second, how)()
    assert second.owns == []
    wait_for(first, [0, 1])


def test_a_second_member_of_one_name_is_refused(lab: Lab) -> None:
    lab.member("only", group="named", topic="shared")
    with pytest.raises(UsageError, match="only runs already"):
        lab.member("only", group="named", topic="shared")
