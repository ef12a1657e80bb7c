"""A database that goes silent, dies, or leaves a COMMIT unanswered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store import StoreUnavailable
from rtmlops_lib.store.postgres import PostgresStore
from tests.faults.proxy import StallProxy
from tests.live.store.events import GROUP, World, events, moved

pytestmark = [pytest.mark.live, pytest.mark.faults]

DEADLINE = 1.5


@pytest.fixture
def proxy(database_url: str) -> Iterator[StallProxy]:
    with StallProxy.before(database_url) as made:
        yield made


@pytest.fixture
def far(
    proxy: StallProxy, plain_world: World, database_url: str
) -> Iterator[PostgresStore]:
    """Return a store that reaches the database through the proxy."""
    with closing(
        PostgresStore(proxy.url(database_url), schema=plain_world.schema)
    ) as store:
        yield store


def assert_unavailable_in_time(call: Callable[[], object]) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        call()
    assert time.monotonic() - began < DEADLINE + 1


@pytest.mark.parametrize(
    "text", [b"BEGIN", b"COPY", b"PGCOPY", b"COMMIT"], ids=bytes.decode
)
def test_silence_at_any_point_ends_by_the_deadline(
    plain_world: World, proxy: StallProxy, far: PostgresStore, text: bytes
) -> None:
    position = moved(plain_world.claim(0, store=far)[0], 20_000)
    batch = events(range(20_000))
    proxy.stall_at(text, delivered=False)
    assert_unavailable_in_time(
        lambda: far.write(GROUP, [batch], [position], deadline_seconds=DEADLINE)
    )
    assert plain_world.count() == 0
    proxy.resume()
    written = far.write(GROUP, [batch], [position])
    assert written.rows == {"datacenter": 20_000} and not written.fenced


@pytest.mark.parametrize("text", [b"COPY", b"PGCOPY", b"COMMIT"], ids=bytes.decode)
def test_a_half_open_connection_does_not_lock_its_own_client_out(
    plain_world: World, proxy: StallProxy, far: PostgresStore, text: bytes
) -> None:
    position = moved(plain_world.claim(0, store=far)[0], 100)
    batch = events(range(100))
    proxy.stall_at(text, delivered=False)
    assert_unavailable_in_time(
        lambda: far.write(GROUP, [batch], [position], deadline_seconds=DEADLINE)
    )
    # The network is back, and keeps the former connection's other end alive.
    proxy.resume(drop=False)
    written = far.write(GROUP, [batch], [position], deadline_seconds=DEADLINE)
    assert written.rows == {"datacenter": 100} and not written.fenced


def test_a_commit_that_was_stored_unanswered_is_a_success_when_tried_again(
    plain_world: World, proxy: StallProxy, far: PostgresStore
) -> None:
    position = moved(plain_world.claim(0, store=far)[0], 10)
    proxy.stall_at(b"COMMIT", delivered=True)
    batch = events(range(10))
    assert_unavailable_in_time(
        lambda: far.write(GROUP, [batch], [position], deadline_seconds=DEADLINE)
    )
    assert plain_world.count() == 10
    assert_unavailable_in_time(
        lambda: far.write(GROUP, [batch], [position], deadline_seconds=DEADLINE)
    )
    proxy.resume()
    written = far.write(GROUP, [batch], [position])
    assert written.rows == {"datacenter": 10} and not written.fenced
    assert plain_world.stored_offset() == 10
    assert far.write(GROUP, [], [moved(position, 11)]).fenced == frozenset()


def test_after_an_unanswered_commit_a_larger_batch_is_fenced_not_doubled(
    plain_world: World, proxy: StallProxy, far: PostgresStore
) -> None:
    start = plain_world.claim(0, store=far)[0]
    proxy.stall_at(b"COMMIT", delivered=True)
    assert_unavailable_in_time(
        lambda: far.write(
            GROUP, [events(range(10))], [moved(start, 10)], deadline_seconds=DEADLINE
        )
    )
    proxy.resume()
    written = far.write(GROUP, [events(range(20))], [moved(start, 20)])
    assert written.fenced and plain_world.count() == 10


@pytest.mark.parametrize("delivered", [True, False])
def test_a_connection_lost_in_commit_is_settled_within_the_call(
    plain_world: World, proxy: StallProxy, far: PostgresStore, delivered: bool
) -> None:
    position = moved(plain_world.claim(0, store=far)[0], 10)
    proxy.stall_at(b"COMMIT", delivered=delivered)
    outcome: list[object] = []

    def write() -> None:
        try:
            outcome.append(far.write(GROUP, [events(range(10))], [position]))
        except StoreUnavailable as error:
            outcome.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.5)
    proxy.resume()
    thread.join(10)
    if delivered:
        assert getattr(outcome[0], "rows", None) == {"datacenter": 10}
    else:
        assert isinstance(outcome[0], StoreUnavailable)
    assert plain_world.stored_offset() == (10 if delivered else 0)
    assert plain_world.count() == (10 if delivered else 0)


def test_silence_while_connecting_ends_by_the_deadline(
    plain_world: World, proxy: StallProxy, far: PostgresStore
) -> None:
    proxy.stall()
    assert_unavailable_in_time(
        lambda: far.write(GROUP, [], [], deadline_seconds=DEADLINE)
    )


def test_a_lock_held_by_somebody_ends_by_the_deadline(plain_world: World) -> None:
    position = moved(plain_world.claim(0)[0], 5)
    with closing(PostgresStore(plain_world.url, schema=plain_world.schema)) as other:
        with other._loop.within(30) as session:
            session.execute("BEGIN")
            table = f"{plain_world.schema}.stream_offsets"
            session.execute(f"SELECT * FROM {table} FOR UPDATE")
            assert_unavailable_in_time(
                lambda: plain_world.store.write(
                    GROUP, [], [position], deadline_seconds=DEADLINE
                )
            )
    assert not plain_world.store.write(GROUP, [], [position]).fenced


def test_a_terminated_backend_is_transient_and_the_next_call_connects_anew(
    plain_world: World,
) -> None:
    position = moved(plain_world.claim(0)[0], 5)

    def terminate(refused: object) -> None:
        plain_world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "state = 'idle in transaction' AND query LIKE %s",
            "%COPY%" + plain_world.schema + "%",
        )

    with pytest.raises(StoreUnavailable):
        plain_world.store.write(
            GROUP, [events(range(5))], [position], before_commit=terminate
        )
    assert plain_world.count() == 0
    assert plain_world.store.write(GROUP, [events(range(5))], [position]).rows


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with closing(PostgresStore("postgresql://rtmlops@127.0.0.1:1/x")) as store:
        with pytest.raises(StoreUnavailable):
            store.offsets()


def test_a_database_of_another_name_is_a_configuration_fault(
    database_url: str,
) -> None:
    with closing(PostgresStore(database_url.rpartition("/")[0] + "/nowhere")) as store:
        with pytest.raises(ConfigurationFault, match="nowhere"):
            store.offsets()


def test_a_loop_of_short_deadlines_leaves_no_thread_and_no_connection(
    plain_world: World, database_url: str
) -> None:
    threads = threading.active_count()
    name = f"count-{plain_world.schema}"
    store = PostgresStore(
        database_url, schema=plain_world.schema, application_name=name
    )
    for _ in range(20):
        store.offsets()
    open_now = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    assert plain_world.sql(open_now, name) == [(1,)]
    store.close()
    store.close()
    assert threading.active_count() <= threads + 1
