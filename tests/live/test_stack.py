"""The local stack under everyday abuse; one stack serves all tests of this module."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import psycopg2
import pytest

from rtmlops_lib.errors import DependencyUnavailable, UsageError
from rtmlops_lib.settings import Settings, parse_env_file
from rtmlops_lib.stack import LocalStack, examine
from rtmlops_lib.stack._pg_binaries import system_binaries
from rtmlops_lib.stack._processes import stack_processes
from tests.support.stacks import scratch_stack, stack_settings, temporary_home

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def own():
    """A stack of its own to abuse."""
    with scratch_stack(postgres="embedded") as (stack, info):
        yield stack, info


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {part.name: part.pid for part in stack.status()}


def rows(url: str, query: str) -> list[tuple]:
    connection = psycopg2.connect(url, connect_timeout=5)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def end_supervisor(stack: LocalStack) -> None:
    pid = int((stack.home.run / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 5)


def test_up_publishes_where_everything_is(own):
    stack, info = own
    published = parse_env_file(info.home / "env")
    assert published["RTMLOPS_KAFKA_BOOTSTRAP_SERVERS"] == info.kafka_bootstrap_servers
    found = Settings.load(
        environ={"RTMLOPS_HOME": str(info.home), "RTMLOPS_ENV_FILE": ""}
    )
    assert found.database_url.get_secret_value() == info.database_url
    assert found.stack_kafka_port == stack.settings.stack_kafka_port
    assert (info.home / "env").stat().st_mode & 0o077 == 0


def test_up_twice_changes_nothing_and_takes_no_time(own):
    stack, _ = own
    before = pids(stack)
    began = time.monotonic()
    stack.up("none")
    assert pids(stack) == before
    assert time.monotonic() - began < 5


def test_kafka_postgres_and_mlflow_stay_below_one_and_a_half_gigabytes(own):
    stack, _ = own
    assert sum(part.memory_bytes for part in stack.status()) < 1.5e9


def test_a_topic_is_never_created_by_asking_for_it(own):
    from rtmlops_lib.transport.admin import TopicAdmin

    _, info = own
    with TopicAdmin(
        Settings(kafka_bootstrap_servers=info.kafka_bootstrap_servers)
    ) as admin:
        assert admin.topic_ids(["no-such-topic"]) == {}
        assert "no-such-topic" not in admin.list_topics()
        assert "datacenter-metrics" in admin.list_topics()


def test_the_doctor_finds_nothing_wrong_with_a_running_stack(own):
    stack, info = own
    settings = stack.settings.model_copy(
        update={
            "kafka_bootstrap_servers": info.kafka_bootstrap_servers,
            "database_url": type(stack.settings.database_url)(info.database_url),
            "mlflow_tracking_uri": info.mlflow_tracking_uri,
        }
    )
    wrong = [asdict(c) for c in examine(settings, dict(os.environ)) if not c.ok]
    assert wrong == []


def test_the_doctor_has_a_remedy_for_each_thing_that_is_wrong(tmp_path):
    settings = stack_settings(tmp_path / ".rtmlops")
    nowhere = settings.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "database_url": type(settings.database_url)("postgresql://127.0.0.1:9/x"),
            "mlflow_tracking_uri": "http://127.0.0.1:9",
        }
    )
    checks = {c.name: c for c in examine(nowhere, {"XDG_CACHE_HOME": str(tmp_path)})}
    wrong = {name for name, check in checks.items() if not check.ok}
    assert {"kafka", "postgres", "mlflow", "jars", "services", "topics"} <= wrong
    assert all(checks[name].remedy for name in wrong)
    assert checks["python"].ok and checks["java"].ok


def test_a_part_can_be_stopped_and_started_again(own):
    stack, info = own
    stack.stop("mlflow")
    assert pids(stack)["mlflow"] is None
    stack.stop("mlflow")
    stack.start("mlflow")
    assert stack.why_not_ready("mlflow") is None
    with pytest.raises(UsageError, match="mlfow"):
        stack.start("mlfow")


def test_kafka_killed_comes_back_by_itself_with_its_topics(own):
    from rtmlops_lib.transport.admin import TopicAdmin

    stack, info = own
    settings = Settings(kafka_bootstrap_servers=info.kafka_bootstrap_servers)
    with TopicAdmin(settings) as admin:
        before = admin.topic_ids(["datacenter-metrics"])
    killed = pids(stack)["kafka"]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while pids(stack)["kafka"] in (None, killed) or stack.why_not_ready("kafka"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with TopicAdmin(settings) as admin:
        assert admin.topic_ids(["datacenter-metrics"]) == before


def test_another_shape_is_refused_while_it_runs(own):
    stack, _ = own
    other = LocalStack(stack.settings.model_copy(update={"stack_mlflow_port": 45_001}))
    with pytest.raises(UsageError, match="rtmlops down"):
        other.up("none")


def test_a_second_stack_on_the_same_ports_names_the_first(own):
    stack, info = own
    home = temporary_home()
    second = LocalStack(stack.settings.model_copy(update={"home": home}))
    with pytest.raises(DependencyUnavailable) as caught:
        second.up("none", "embedded")
    message = str(caught.value)
    assert str(stack.settings.stack_kafka_port) in message
    assert str(info.home) in message and "RTMLOPS_STACK_KAFKA_PORT" in message
    assert stack_processes(home) == []
    second.down(wipe=True)
    home.parent.rmdir()


def test_down_and_up_keep_the_data_and_survive_stale_files(own):
    stack, info = own
    rows(info.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert stack.down() == 0
    assert stack_processes(stack.home.path) == []
    # What a power cut leaves: pid files of processes that are others' now, a socket
    # that nobody listens to.
    me = os.getppid()
    (stack.home.run / "supervisord.pid").write_text(f"{me}\n")
    data = stack.home.postgres / "embedded-18"
    (data / "postmaster.pid").write_text(f"{me}\n{data}\n1\n5432\n\n127.0.0.1\n")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(stack.home.socket))
    stale.close()
    assert stack.is_running() is False
    stack.up("none")
    assert rows(info.database_url, "SELECT answer FROM kept") == [(42,)]


def test_down_twice_is_fine_and_reports_nothing_running(own):
    stack, _ = own
    stack.down()
    assert stack.down() == 0
    assert {part.state for part in stack.status()} == {"stopped"}
    with pytest.raises(DependencyUnavailable, match="not running"):
        stack.restart("kafka")
    stack.up("none")


def test_down_leaves_nothing_after_the_supervisor_was_killed(own):
    stack, _ = own
    end_supervisor(stack)
    assert len(stack_processes(stack.home.path)) >= 3
    stack.down()
    assert stack_processes(stack.home.path) == []


def test_up_recovers_after_the_supervisor_was_killed(own):
    stack, info = own
    stack.up("none")
    end_supervisor(stack)
    orphans = {process.pid for process in stack_processes(stack.home.path)}
    stack.up("none")
    assert rows(info.database_url, "SELECT answer FROM kept") == [(42,)]
    assert orphans.isdisjoint(p.pid for p in stack_processes(stack.home.path))


@pytest.mark.parametrize("part", ["kafka", "postgres", "mlflow"])
def test_a_taken_port_is_named_with_its_holder_and_the_setting(part, tmp_path):
    settings = stack_settings(tmp_path / ".rtmlops")
    port = getattr(settings, f"stack_{part}_port")
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(DependencyUnavailable) as caught:
            LocalStack(settings).up("none", "embedded")
    message = str(caught.value)
    assert f"port {port}" in message and f"(pid {os.getpid()})" in message
    assert f"RTMLOPS_STACK_{part.upper()}_PORT" in message
    assert caught.value.exit_code == 3
    assert stack_processes(tmp_path / ".rtmlops") == []


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    from rtmlops_lib.stack import _disk

    monkeypatch.setattr(_disk, "LEAST_FREE_BYTES", 1 << 62)
    with pytest.raises(DependencyUnavailable, match="MB free"):
        LocalStack(stack_settings(tmp_path / ".rtmlops")).up("none", "embedded")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A stack at an odd place, for a user who has nothing; and that user's folder."""
    user = tmp_path_factory.mktemp("user")
    # No java, no mvn, no pg_config on the path, no ~/.m2.
    environ = {**os.environ, "HOME": str(user), "PATH": "/nonexistent"}
    environ["XDG_CACHE_HOME"] = os.environ.get(
        "XDG_CACHE_HOME", str(Path.home() / ".cache")
    )
    home = temporary_home()
    deep = home.parent / "with blank & 100%" / ("deep" * 25) / ".rtmlops"
    stack = LocalStack(stack_settings(deep), environ=environ)
    try:
        yield stack, stack.up("none", "embedded"), user
    finally:
        stack.down(wipe=True)
        shutil.rmtree(home.parent)


def test_the_stack_writes_nothing_outside_its_home_and_the_cache(odd):
    stack, info, user = odd
    assert rows(info.database_url, "SELECT 1") == [(1,)]
    assert list(user.iterdir()) == []


def test_a_path_with_blanks_percent_signs_and_great_length_works_and_is_wiped(odd):
    stack, info, _ = odd
    deep = stack.home.path
    assert rows(info.database_url, "SELECT 1") == [(1,)]
    assert stack.home.socket.parent != stack.home.run
    stack.down(wipe=True)
    assert not deep.exists() and not stack.home.socket.parent.exists()
    assert stack_processes(deep) == []


def test_the_systems_postgres_with_timescaledb_is_used_and_remembered():
    if not any(binaries.timescaledb for binaries in system_binaries()):
        pytest.skip("no PostgreSQL with TimescaleDB is installed on this machine")
    with scratch_stack(postgres="system") as (stack, info):
        query = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"
        assert rows(info.database_url, query) == [(1,)]
        again = stack.up("none", "auto")
        assert again.postgres == info.postgres and "TimescaleDB" in info.postgres


def test_a_database_given_by_url_is_used_and_nothing_is_started(own):
    _, given = own
    rows(given.database_url, "CREATE DATABASE elsewhere")
    url = given.database_url.removesuffix("/rtmlops") + "/elsewhere"
    with scratch_stack(postgres=url) as (stack, info):
        assert info.database_url == url
        assert "postgres" not in {part.name for part in stack.status()}
        assert stack.up("none").database_url == url


def test_a_library_without_the_extra_says_what_to_install(tmp_path):
    # As if these had never been installed.
    script = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('jgo', 'psutil') else real(n, *a)\n"
        "from rtmlops_lib.errors import RtmlopsError\n"
        "try:\n"
        "    from rtmlops_lib.stack import LocalStack\n"
        "except RtmlopsError as error:\n"
        "    print(error); sys.exit(error.exit_code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2, result.stderr
    assert "psutil, jgo" in result.stdout and "rtmlops[local]" in result.stdout
