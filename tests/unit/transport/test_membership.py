"""Changes of an assignment, folded into one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.streams import TopicPartition
from rtmlops_lib.transport import Polled
from rtmlops_lib.transport._membership import MembershipLog

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def drained(log: MembershipLog) -> Polled:
    polled = Polled()
    log.drain(polled)
    return polled


def test_a_partition_given_up_and_got_back_stands_in_both() -> None:
    log = MembershipLog()
    log.assign([A, B])
    drained(log)
    log.revoke([A, B], lost=False)
    log.assign([A])
    polled = drained(log)
    assert polled.revoked == {A, B} and polled.assigned == {A} == log.owned


def test_what_came_and_went_between_two_polls_is_not_told() -> None:
    log = MembershipLog()
    log.assign([A])
    log.revoke([A], lost=True)
    polled = drained(log)
    assert not (polled.assigned or polled.revoked or polled.lost or polled.rebalanced)


def test_an_empty_assignment_is_settled_until_the_next_revocation() -> None:
    log = MembershipLog()
    log.assign([])
    assert drained(log).rebalanced
    assert not drained(log).rebalanced


partitions = st.frozensets(st.builds(TopicPartition, st.just("t"), st.integers(0, 3)))


@given(st.lists(st.tuples(partitions, st.booleans(), st.booleans())))
def test_what_is_told_always_adds_up_to_what_is_held(rounds) -> None:
    log = MembershipLog()
    held: frozenset[TopicPartition] = frozenset()
    told: frozenset[TopicPartition] = frozenset()
    for new, lost, poll in rounds:
        log.revoke(held, lost=lost)
        log.assign(new)
        held = new
        if poll:
            polled = drained(log)
            assert polled.revoked | polled.lost <= told
            assert not polled.revoked & polled.lost
            told = (told - polled.revoked - polled.lost) | polled.assigned
            assert told == held == log.owned
