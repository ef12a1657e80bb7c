"""Models that stand by the detector: taken as they come, left out as they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rtmlops_lib.models.forest_pipeline import train_detector_model
from rtmlops_lib.models.names import detector_name, model_name
from rtmlops_lib.models.pipeline import train_power_model
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs
from tests.support.detector_lab import DetectorLab, simulated, spoiled
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import QUICK, simulated_frame
from tests.support.waiting import wait_until
from tests.support.witnesses import FOREST

pytestmark = pytest.mark.live

SPEC = builtin_specs()["datacenter"]
BOTH = "power 1, forest 1"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lab(
    database_url: str, mlflow: MlflowServer, make_lab: Callable[..., DetectorLab]
) -> DetectorLab:
    return make_lab(database_url, mlflow=mlflow.uri)


def train(lab: DetectorLab, *, power: bool = True, forest: bool = True) -> None:
    registry = ModelRegistry(lab.settings.mlflow_tracking_uri)
    store = open_store(lab.settings)
    try:
        frame = simulated_frame()
        if power:
            name = model_name(lab.settings, SPEC)
            train_power_model(registry, store, name, SPEC, frame, settings=QUICK)
        if forest:
            name = detector_name(lab.settings, SPEC)
            train_detector_model(registry, store, name, SPEC, frame, settings=FOREST)
    finally:
        store.close()


def versions(lab: DetectorLab) -> dict[tuple[str, str | None], int]:
    """Return how many events each set of witnesses has scored."""
    schema = lab.settings.database_schema
    rows = lab.sql(
        f"SELECT witnesses, model_version, count(*) FROM {schema}.anomalies "
        "WHERE detector = 'default' GROUP BY 1, 2"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def test_all_witnesses_are_heard_and_a_killed_detector_says_the_same(
    lab: DetectorLab, mlflow: MlflowServer
) -> None:
    train(lab)
    records = spoiled(simulated("datacenter", hours=4))
    lab.produce(records)
    for goal in (3_000, 7_000):
        with lab.run(RTMLOPS_BATCH_MAX_ROWS="300") as running:
            wait_until(
                lambda goal=goal: lab.consumed_by() >= goal,
                timeout=90,
                what=f"{goal} consumed",
                every=0.005,
            )
            running.kill()
    assert f'"models": "{BOTH}"' in running.output()
    # With MLflow away the files that were verified serve on.
    mlflow.stop()
    try:
        lab.until_idle()
        lab.assert_same_as_undisturbed()
    finally:
        mlflow.start()
    heard = "statistical, power_residual, isolation_forest"
    assert versions(lab) == {(heard, BOTH): len(lab.scores())}


def test_a_model_is_heard_as_soon_as_it_is_champion_without_a_restart(
    lab: DetectorLab,
) -> None:
    records = simulated("datacenter", hours=1)
    with lab.run() as running:
        lab.produce(records[:1_000])
        wait_until(
            lambda: versions(lab) == {("statistical", None): 1_000},
            timeout=60,
            what="it began without any model",
        )
        train(lab, power=False)
        wait_until(
            lambda: "models_swapped" in running.output(), timeout=30, what="it is taken"
        )
        lab.produce(records[1_000:])
        wait_until(
            lambda: len(lab.scores()) == len(records), timeout=30, what="all is scored"
        )
        assert running.terminate() == 0
    assert versions(lab) == {
        ("statistical", None): 1_000,
        ("statistical, isolation_forest", "forest 1"): len(records) - 1_000,
    }
