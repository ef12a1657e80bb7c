from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings
from rtmlops_lib.stack import _choose_postgres
from rtmlops_lib.stack._choose_postgres import choose_postgres, is_url
from rtmlops_lib.stack._environment import MARKER, child_environment
from rtmlops_lib.stack._pg_binaries import PostgresBinaries
from rtmlops_lib.stack._program import Program
from rtmlops_lib.stack.services import SERVICES, chosen_services

EMBEDDED = PostgresBinaries("embedded", Path("/wheel"), 18, timescaledb=False)
PLAIN = PostgresBinaries("system", Path("/usr/17"), 17, timescaledb=False)
TIMESCALE = PostgresBinaries("system", Path("/usr/15"), 15, timescaledb=True)


@pytest.fixture
def machine(monkeypatch):
    def has(*binaries: PostgresBinaries) -> None:
        embedded = [b for b in binaries if b.kind == "embedded"]
        system = [b for b in binaries if b.kind == "system"]
        monkeypatch.setattr(
            _choose_postgres, "embedded_binaries", lambda: (embedded or [None])[0]
        )
        monkeypatch.setattr(_choose_postgres, "system_binaries", lambda: system)

    return has


def test_auto_prefers_timescaledb_then_the_wheel_then_any_system(machine, tmp_path):
    machine(EMBEDDED, TIMESCALE)
    assert choose_postgres("auto", {}, tmp_path) == TIMESCALE
    machine(EMBEDDED, PLAIN)
    assert choose_postgres("auto", {}, tmp_path) == EMBEDDED
    machine(PLAIN)
    assert choose_postgres("auto", {}, tmp_path) == PLAIN


def test_auto_is_decided_once(machine, tmp_path):
    machine(EMBEDDED, TIMESCALE)
    recorded = {"kind": "embedded", "major": 18, "folder": "/wheel"}
    assert choose_postgres("auto", recorded, tmp_path) == EMBEDDED


def test_data_of_a_server_that_is_gone_are_not_hidden(machine, tmp_path):
    machine(EMBEDDED)
    (tmp_path / "embedded-17").mkdir()
    recorded = {"kind": "embedded", "major": 17, "folder": "/old"}
    with pytest.raises(UsageError, match="made by PostgreSQL 17"):
        choose_postgres("auto", recorded, tmp_path)


@pytest.mark.parametrize("choice", ["system", "embedded", "mysql"])
def test_an_impossible_choice_is_refused_by_name(machine, tmp_path, choice):
    machine()
    with pytest.raises(UsageError, match=choice):
        choose_postgres(choice, {}, tmp_path)


def test_a_url_is_a_server_of_somebody_else():
    assert is_url("postgresql://u@h/d") and is_url("postgres://u@h/d")
    assert not is_url("embedded")


def test_services_are_chosen_by_name_all_or_none():
    assert [s.name for s in chosen_services("generator,storage")] == [
        "generator",
        "storage",
    ]
    assert "generator" not in [s.name for s in chosen_services("all")]
    assert chosen_services("none") == []
    with pytest.raises(UsageError, match="strage"):
        chosen_services("strage")


def test_every_service_has_a_port_of_its_own():
    offsets = [s.port_offset for s in SERVICES if s.port_offset is not None]
    assert len(offsets) == len(set(offsets))


def test_children_inherit_no_address_but_the_stacks():
    environ = {
        "PATH": "/bin",
        "DATABASE_URL": "postgresql://production/db",
        "RTMLOPS_DATABASE_URL": "postgresql://production/db",
        "RTMLOPS_KAFKA_BOOTSTRAP_SERVERS": "production:9092",
        "KAFKA_OPTS": "-Devil",
        "JAVA_TOOL_OPTIONS": "-Xmx9g",
        "PGHOST": "production",
        "MLFLOW_TRACKING_URI": "http://production",
        "HTTPS_PROXY": "http://proxy",
    }
    settings = Settings(batch_max_rows=7, kafka_bootstrap_servers="production:9092")
    assert child_environment(Path("/h"), settings, environ) == {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "RTMLOPS_HOME": "/h",
        "RTMLOPS_ENV_FILE": "",
        "RTMLOPS_BATCH_MAX_ROWS": "7",
        MARKER: "/h",
    }


def test_a_command_survives_blanks_quotes_and_percent_signs(tmp_path):
    from supervisor.options import ServerOptions, UnhosedConfigParser

    command = ("/opt/my tools/java", "-Dx='1'", "100%", "a;b")
    text = Program("demo", command, Path("/tmp/a b"), priority=1).section(tmp_path)
    parser = UnhosedConfigParser()
    parser.read_string(text)
    options = ServerOptions()
    options.here = "/"
    (program,) = options.processes_from_section(parser, "program:demo", "demo")
    assert program.directory == "/tmp/a b"
    assert tuple(shlex.split(program.command)) == command
