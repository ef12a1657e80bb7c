"""A chapter's models on a live registry: its own are made anew, others stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.models import PowerSettings
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.services.drift_reference import CALIBRATION
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.teaching import History, Lab, LessonStopped, prepare
from tests.support.mlflow_server import MlflowServer

pytestmark = pytest.mark.live

CHAPTER = 95
PAST = History(hours=48, servers=6, interval_seconds=120)
RECIPE = PowerSettings(trees=10, max_depth=10, min_samples_leaf=3)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def practice(
    mlflow: MlflowServer,
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    settings = Settings(
        database_url=database_url,
        mlflow_tracking_uri=mlflow.uri,
        home=tmp_path_factory.mktemp("home") / ".rtmlops",
    )
    store = open_store(settings)
    store.migrate([])
    store.mark_practice("test")
    store.close()
    return settings


def prepared(practice: Settings, *, watched: bool = False) -> Lab:
    return prepare(
        CHAPTER,
        needs=("database", "mlflow"),
        stored=PAST,
        champion=RECIPE,
        watched=watched,
        settings=practice,
    )


def files_under(mlflow: MlflowServer) -> int:
    return sum(p.is_file() for p in (mlflow.folder / "artifacts").rglob("*.skops"))


def test_a_chapter_begins_with_version_1_as_champion_however_often(
    practice: Settings, mlflow: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "nothing.skops").write_text("")
    others = ModelRegistry(mlflow.uri)
    others.register("ch9", tmp_path, hashes={}, params={}, metrics={}, tags={})
    for _ in range(2):
        lab = prepared(practice)
        assert lab.registry.aliases(lab.model) == {"champion": 1}
        assert [v.version for v in lab.registry.versions(lab.model)] == [1]
        lab.close()
    assert len(others.versions("ch9")) == 1
    assert files_under(mlflow) == 2, "the first champion's files are gone"


def test_only_what_the_champion_learns_from_is_stored(practice: Settings) -> None:
    lab = prepared(practice)
    rows = [
        lab.sql(f"SELECT count(*) AS n FROM {lab.specs[name].table}").loc[0, "n"]
        for name in ("datacenter", "services")
    ]
    assert rows == [PAST.events, 0]
    lab.close()


@pytest.mark.parametrize("watched", [False, True])
def test_a_champion_has_what_a_monitor_needs_where_it_is_asked_for(
    practice: Settings, watched: bool
) -> None:
    lab = prepared(practice, watched=watched)
    version = lab.registry.version(lab.model, 1)
    assert (CALIBRATION in version.sha256) == watched
    lab.close()


def test_verified_files_of_an_earlier_run_are_forgotten(practice: Settings) -> None:
    lab = prepared(practice)
    own, foreign = (
        practice.home / "models" / name for name in (lab.model, "datacenter-power_kw")
    )
    for folder in (own, foreign):
        folder.mkdir(parents=True, exist_ok=True)
    prepared(practice).close()
    assert foreign.is_dir()
    assert not own.exists()


def test_a_champion_without_rows_or_registry_is_refused(practice: Settings) -> None:
    with pytest.raises(UsageError, match="stored events and MLflow"):
        prepare(CHAPTER, needs=("database",), champion=RECIPE, settings=practice)


def test_a_registry_elsewhere_is_not_touched(practice: Settings) -> None:
    far = practice.model_copy(
        update={"mlflow_tracking_uri": "https://mlflow.example.org"}
    )
    with pytest.raises(LessonStopped, match=r"MLflow is at https://mlflow\.example"):
        prepare(CHAPTER, needs=("database",), settings=far)


def test_a_service_gets_the_settings_that_a_chapter_gives_it(
    practice: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    lab = prepare(CHAPTER, needs=(), settings=practice)
    nowhere = {"RTMLOPS_MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    process = lab.start("config", settings=nowhere)
    assert process.wait(60) == 0
    printed = process.output.read_text()
    assert "http://127.0.0.1:9" in printed
    assert "\x1b" not in printed
