"""A chapter's lab on live servers: it resets its own, and only where it may."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg2
import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.teaching import History, Lab, LessonStopped, prepare
from rtmlops_lib.teaching.process import LabProcess
from rtmlops_lib.transport import open_admin

pytestmark = pytest.mark.live

CHAPTER = 96


@pytest.fixture(scope="module")
def practice(
    kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of servers that carry the mark of a practice stack."""
    settings = Settings(
        kafka_bootstrap_servers=kafka_bootstrap,
        database_url=database_url,
        home=tmp_path_factory.mktemp("home") / ".rtmlops",
    )
    store = open_store(settings)
    store.migrate([])
    store.mark_practice("test")
    store.close()
    yield settings
    with open_admin(settings) as admin:
        admin.delete([t for t in admin.list_topics() if t.startswith(f"ch{CHAPTER}-")])


@pytest.fixture
def lab(practice: Settings) -> Iterator[Lab]:
    lab = prepare(CHAPTER, settings=practice, sent=History(hours=0.05, servers=4))
    yield lab
    lab.close()


def connected(settings: Settings) -> psycopg2.extensions.connection:
    return psycopg2.connect(settings.database_url.get_secret_value())


def test_a_chapter_stores_its_events_by_the_real_service(lab: Lab) -> None:
    code = lab.start("consume", "storage", "--until-idle", "1").wait(90)
    assert code == 0
    rows = lab.sql("select count(*) as n, count(distinct server_id) as s from metrics")
    assert rows.loc[0].to_dict() == {"n": 18 * 4, "s": 4}
    groups = lab.sql("select distinct consumer_group from stream_offsets")
    assert list(groups["consumer_group"]) == [f"ch{CHAPTER}-storage"]
    assert list(lab.services()["state"]) == ["ended with 0"]


def test_preparing_again_starts_afresh_within_the_time_allowed(
    lab: Lab, practice: Settings
) -> None:
    with open_admin(practice) as admin:
        before = admin.topic_ids([lab.topic("datacenter-metrics")])
        admin.create(lab.topic("by-hand"))
    started = time.monotonic()
    again = prepare(CHAPTER, settings=practice, stored=History(hours=0.05, servers=4))
    assert time.monotonic() - started < 15
    with open_admin(practice) as admin:
        topics = [t for t in admin.list_topics() if t.startswith(again.prefix)]
        after = admin.topic_ids([again.topic("datacenter-metrics")])
    assert again.topic("by-hand") not in topics
    assert before != after
    assert again.sql("select count(*) as n from metrics").loc[0, "n"] == 18 * 4
    again.close()


def test_other_topics_and_tables_are_not_touched(
    lab: Lab, practice: Settings, topic_prefix: str
) -> None:
    foreign = f"{topic_prefix}x"
    with open_admin(practice) as admin, connected(practice) as connection:
        admin.create(foreign)
        with connection.cursor() as cursor:
            cursor.execute("create schema other; create table other.kept as select 1")
        connection.commit()
        prepare(CHAPTER, settings=practice).close()
        assert foreign in admin.list_topics()
        admin.delete([foreign])
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from other.kept; drop schema other cascade")


def test_servers_without_the_mark_are_refused_by_name(practice: Settings) -> None:
    store = open_store(practice)
    with connected(practice) as connection:
        with connection.cursor() as cursor:
            cursor.execute("delete from public.stack_marker")
        connection.commit()
        try:
            with pytest.raises(
                LessonStopped, match="is not a practice stack"
            ) as caught:
                prepare(CHAPTER, settings=practice)
            assert "127.0.0.1" in str(caught.value)
        finally:
            store.mark_practice("test")
            store.close()


def test_a_kafka_elsewhere_is_refused_before_it_is_asked(practice: Settings) -> None:
    far = practice.model_copy(
        update={"kafka_bootstrap_servers": "kafka.example.org:9092"}
    )
    with pytest.raises(LessonStopped, match=r"kafka\.example\.org:9092"):
        prepare(CHAPTER, settings=far)


def test_what_a_dead_kernel_left_running_is_ended(lab: Lab, practice: Settings) -> None:
    left = LabProcess("storage", ("consume", "storage"), lab._environment(), lab.folder)
    assert left.running
    prepare(CHAPTER, settings=practice).close()
    assert left._process.wait(10) != 0


def test_a_command_returns_what_it_printed(lab: Lab) -> None:
    assert lab.topic("datacenter-metrics") in lab.run("topics", "list")
    with pytest.raises(Exception, match="ended with 2"):
        lab.run("stream", "show", "nonsense")
