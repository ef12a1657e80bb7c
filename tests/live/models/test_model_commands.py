"""``rtmlops train`` and ``rtmlops models`` as a user calls them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from tests.live.models.conftest import SPEC
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import START, simulated_batch
from tests.support.service import command, environment

pytestmark = pytest.mark.live

SINCE = ("--since", START.isoformat())


class Shell:
    """Runs commands against one database, one registry, one prefix."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.env = environment(
            settings, RTMLOPS_MLFLOW_TRACKING_URI=settings.mlflow_tracking_uri
        )

    def __call__(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            command(*arguments),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done.stdout if code == 0 or done.stdout else done.stderr

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def shell(
    settings: Settings, mlflow: MlflowServer, topic_prefix: str, tmp_path: Path
) -> Iterator[Shell]:
    schema = topic_prefix.strip("-")
    chosen = settings.model_copy(
        update={
            "database_schema": schema,
            "topic_prefix": topic_prefix,
            "mlflow_tracking_uri": mlflow.uri,
            "home": tmp_path / "home",
        }
    )
    with closing(open_store(chosen)) as store:
        store.migrate([SPEC])
    yield Shell(chosen)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    with closing(open_store(shell.settings)) as store:
        store.backfill([simulated_batch(hours=72)])
    return shell


def test_the_life_of_a_model_by_commands(filled: Shell) -> None:
    first = filled.json("train", "power", *SINCE)
    assert first["promoted"], first["gate"]
    assert first["metrics"]["mape"] < first["metrics"]["linear_mape"]
    assert first["flagged_share"] is None
    # Equal rows and seeds make an equal model, which is not better.
    second = filled.json("train", "power", *SINCE, code=1)
    assert not second["promoted"]
    listed = filled.json("models", "list")
    assert [(v["version"], v["aliases"]) for v in listed] == [
        (2, "challenger"),
        (1, "champion"),
    ]

    assert "refused" in filled("models", "promote", "2", code=1)
    filled("models", "promote", "2", "--force", code=2)
    forced = ("--force", "--reason", "a demonstration")
    events = filled.json("models", "promote", "2", *forced)["events"]
    assert [(e["alias"], e["to_version"], e["forced"]) for e in events] == [
        ("previous", 1, True),
        ("champion", 2, True),
        ("challenger", None, True),
    ]
    assert "champion was v2, is v1" in filled("models", "rollback", "--reason", "bad")
    assert "rolled back (bad)" in filled("models", "promote", "2", *forced, code=1)
    compared = {row["what"]: row for row in filled.json("models", "compare", "1", "2")}
    assert compared["mape"]["first"] == compared["mape"]["second"]
    filled("models", "promote", "9", code=2)


def test_a_file_will_do_as_well(filled: Shell, tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv"):
        out = ("--stream", "datacenter", *SINCE, "--out", str(tmp_path / name))
        filled("export", *out)
    ways = [
        filled.json(
            "train", "power", "--from-file", str(tmp_path / name), "--challenger"
        )
        for name in ("rows.parquet", "rows.csv")
    ]
    ways.append(filled.json("train", "power", *SINCE, "--challenger"))
    errors = [way["metrics"]["mape"] for way in ways]
    assert errors[0] == errors[1] == errors[2]


def test_nothing_to_train_on_is_said_with_a_remedy(shell: Shell) -> None:
    text = shell("train", "power", code=2)
    assert "no stored events" in text
    with closing(open_store(shell.settings)) as store:
        store.backfill([simulated_batch(hours=2)])
    text = shell("train", "power", *SINCE, code=2)
    assert "too few" in text
    assert "--since" in text


def test_mlflow_away_is_exit_3(filled: Shell) -> None:
    filled.env["RTMLOPS_MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    assert "does not answer" in filled("models", "list", code=3)
