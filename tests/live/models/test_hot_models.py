"""What serves: swapped while serving, refused when wrong, kept when MLflow is away."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rtmlops_lib.models.aliases import CHALLENGER, CHAMPION, Move, move_aliases
from rtmlops_lib.models.bundle import MANIFEST, MODEL, sha256
from rtmlops_lib.models.hot_models import HotModels
from rtmlops_lib.models.power import PowerModel
from rtmlops_lib.models.power_files import load_power
from rtmlops_lib.models.registry import ModelRegistry, ModelVersion
from tests.live.models.conftest import SPEC
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import simulated_batch

pytestmark = pytest.mark.live


def load(folder: Path, version: ModelVersion) -> PowerModel:
    return load_power(folder, version.sha256, SPEC)


@pytest.fixture
def hot(registry: ModelRegistry, name: str, tmp_path: Path) -> HotModels[PowerModel]:
    return HotModels(registry, name, load, tmp_path / "cache", poll_seconds=0.2)


def roles(hot: HotModels[PowerModel]) -> dict[str, int]:
    return {one.role: one.version.version for one in hot.snapshot}


def files_of(mlflow: MlflowServer, registry: Any, name: str, version: int) -> Path:
    """Where the server keeps a version's files."""
    source = registry.version(name, version).source
    return mlflow.folder / "artifacts" / source.removeprefix("mlflow-artifacts:/")


def test_nothing_serves_before_there_is_a_champion(hot: Any, train: Any) -> None:
    hot.poll()
    assert hot.snapshot == ()
    assert "no champion" in hot.state.problem
    assert hot.state.registry_up
    train()
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert hot.state.problem == ""


def test_champion_and_challenger_follow_their_aliases(
    hot: Any, train: Any, registry: Any, store: Any
) -> None:
    train()
    train(promote=False, seed=6)
    hot.poll()
    assert roles(hot) == {CHAMPION: 1, CHALLENGER: 2}
    move_aliases(registry, store, train.name, Move.promote(2))
    hot.poll()
    assert roles(hot) == {CHAMPION: 2}
    loads = hot.state.loads
    move_aliases(registry, store, train.name, Move.rollback(reason="test"))
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert hot.state.loads == loads, "the previous version was kept loaded"


def test_a_swap_happens_on_a_thread_of_its_own(
    hot: Any, train: Any, registry: Any, store: Any
) -> None:
    train()
    train(promote=False, seed=6)
    hot.start()
    try:
        assert hot.wait(20)
        move_aliases(registry, store, train.name, Move.promote(2))
        deadline = time.monotonic() + 10
        while roles(hot) != {CHAMPION: 2} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert roles(hot) == {CHAMPION: 2}
    finally:
        hot.close()


def tamper(path: Path) -> None:
    data = bytearray((path / MODEL).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (path / MODEL).write_bytes(data)


def truncate(path: Path) -> None:
    data = (path / MODEL).read_bytes()
    (path / MODEL).write_bytes(data[: len(data) // 2])


def remove(path: Path) -> None:
    (path / MANIFEST).unlink()


@pytest.mark.parametrize("damage", [tamper, truncate])
def test_damaged_files_are_refused_by_name_and_the_old_model_serves_on(
    hot: Any,
    train: Any,
    registry: Any,
    store: Any,
    mlflow: Any,
    damage: Callable[[Path], None],
) -> None:
    train()
    hot.poll()
    train(promote=False, seed=6)
    damage(files_of(mlflow, registry, train.name, 2))
    move_aliases(registry, store, train.name, Move.promote(2))
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert "v2 was refused: sha256: model.skops" in hot.state.problem
    assert hot.state.refusals == 1
    hot.poll()
    assert hot.state.refusals == 1, "it is not fetched again at every poll"


def test_a_file_that_is_gone_is_no_reason_to_stop(
    hot: Any, train: Any, registry: Any, store: Any, mlflow: Any
) -> None:
    train()
    hot.poll()
    train(promote=False, seed=6)
    remove(files_of(mlflow, registry, train.name, 2))
    move_aliases(registry, store, train.name, Move.promote(2))
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert "v2 was refused: files: MLflow has no " in hot.state.problem


def rewritten(
    registry: Any, name: str, folder: Path, change: Callable[[Path], None]
) -> ModelVersion:
    """Register a copy of version 1 that was changed before it was hashed."""
    registry.download(registry.version(name, 1), (MODEL, MANIFEST), folder)
    change(folder)
    hashes = {file: sha256(folder / file) for file in (MODEL, MANIFEST)}
    return registry.register(
        name, folder, hashes=hashes, params={}, metrics={}, tags={}
    )


def with_manifest(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def other_features(path: Path) -> None:
    features = {"inputs": ["cpu_usage"], "cycles": [], "increasing": []}
    with_manifest(path, features=features, fill=[0.0])


def unknown_input(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["features"]["inputs"][0] = "fan_speed"
    (path / MANIFEST).write_text(json.dumps(manifest))


def target_as_input(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["features"]["inputs"][0] = "power_kw"
    (path / MANIFEST).write_text(json.dumps(manifest))


def other_probe(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["probe"]["predicted"][0] += 0.5
    (path / MANIFEST).write_text(json.dumps(manifest))


def untrusted_type(path: Path) -> None:
    """What an attacker would do: name a function for skops to call."""
    with zipfile.ZipFile(path / MODEL) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    schema["__class__"], schema["__module__"] = "Popen", "subprocess"
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path / MODEL, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def foreign_estimator(path: Path) -> None:
    import skops.io
    from sklearn.dummy import DummyRegressor

    skops.io.dump(DummyRegressor().fit([[0.0]], [1.0]), path / MODEL)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (other_features, "schema: the estimator reads"),
        (unknown_input, "schema: the model reads 'fan_speed'"),
        (target_as_input, "schema: the model reads 'power_kw'"),
        (partial(with_manifest, stream="trips"), "schema: the model predicts"),
        (partial(with_manifest, format=99), "manifest: format 99"),
        (partial(with_manifest, features=None), "manifest:"),
        (other_probe, "probe:"),
        (untrusted_type, "trusted types: model.skops holds subprocess.Popen"),
        (foreign_estimator, "trusted types: the model is a DummyRegressor"),
    ],
)
def test_a_version_that_is_not_ours_is_refused_by_name(
    hot: Any,
    train: Any,
    registry: Any,
    store: Any,
    tmp_path: Path,
    change: Callable[[Path], None],
    check: str,
) -> None:
    train()
    hot.poll()
    made = rewritten(registry, train.name, tmp_path / "changed", change)
    move_aliases(registry, store, train.name, Move.promote(made.version))
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert check in hot.state.problem


def test_a_version_without_hashes_is_refused(
    hot: Any, registry: Any, store: Any, name: str, tmp_path: Path
) -> None:
    (tmp_path / MODEL).write_text("")
    (tmp_path / MANIFEST).write_text("{}")
    registry.register(name, tmp_path, hashes={}, params={}, metrics={}, tags={})
    move_aliases(registry, store, name, Move.promote(1))
    hot.poll()
    assert hot.snapshot == ()
    assert "no tag 'sha256.model.skops'" in hot.state.problem


def test_an_alias_that_vanishes_stops_nothing(
    hot: Any, train: Any, registry: Any
) -> None:
    train()
    hot.poll()
    registry.set_alias(train.name, CHAMPION, None)
    hot.poll()
    assert roles(hot) == {CHAMPION: 1}
    assert "no champion" in hot.state.problem


def test_with_mlflow_away_the_last_verified_champion_serves_from_disk(
    hot: Any, train: Any, tmp_path: Path
) -> None:
    train()
    hot.poll()
    away = ModelRegistry("http://127.0.0.1:9")
    again = HotModels(away, train.name, load, tmp_path / "cache")
    begun = time.monotonic()
    again.poll()
    assert time.monotonic() - begun < 10
    assert roles(again) == {CHAMPION: 1}
    assert again.state.from_disk
    assert not again.state.registry_up
    batch = simulated_batch(hours=1)
    ours, theirs = (h.snapshot[0].model.predict_batch(batch) for h in (hot, again))
    assert (ours == theirs).all()


def test_a_damaged_file_on_disk_is_not_served(
    hot: Any, train: Any, tmp_path: Path
) -> None:
    train()
    hot.poll()
    (path,) = (tmp_path / "cache").glob(f"v1-*/{MODEL}")
    path.write_bytes(path.read_bytes()[:-1])
    again = HotModels(
        ModelRegistry("http://127.0.0.1:9"), train.name, load, tmp_path / "cache"
    )
    again.poll()
    assert again.snapshot == ()
    assert "sha256" in again.state.problem


def test_mlflow_may_leave_and_come_back(
    train: Any, registry: Any, name: str, tmp_path: Path, mlflow: MlflowServer
) -> None:
    train()
    hot = HotModels(registry, name, load, tmp_path / "cache")
    hot.poll()
    mlflow.stop()
    try:
        hot.poll()
        assert roles(hot) == {CHAMPION: 1}
        assert not hot.state.registry_up
    finally:
        mlflow.start()
    hot.poll()
    assert hot.state.registry_up
    assert not hot.state.from_disk
