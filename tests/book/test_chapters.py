"""Every chapter, as plain papermill runs it: the notebook, any folder, a live stack.

With other parameters than the published ones: those are run by ``make book``, and a
reader may change them.
"""

from __future__ import annotations

from pathlib import Path

import papermill
import pytest
from booklib.chapter import read_chapter
from booklib.execution import parameter_names
from booklib.paths import ROOT, Layout
from booklib.stack import clean_environment

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.factory import open_store
from rtmlops_lib.streams import builtin_specs

pytestmark = [pytest.mark.live, pytest.mark.book, pytest.mark.slow]

LAYOUT = Layout(ROOT)
NOTEBOOKS = sorted(LAYOUT.notebooks.glob("[0-9][0-9]_*.ipynb"))
# Less to wait for, and every kind of parameter is another than the published one.
PARAMETERS = {
    "01_meet_the_stack": {
        "n_servers": 12,
        "watch_seconds": 5,
        "day_hours": 14,
        "power_factor": 1.25,
    },
    "02_generate_events": {"n_servers": 16, "live_seconds": 4, "backfill_hours": 2},
    "03_kafka": {"n_servers": 5, "burst_per_tick": 120, "outage_minutes": 40},
    "04_consume_to_timescaledb": {
        "n_servers": 8,
        "batch_size": 200,
        "load_seconds": 18,
        "n_kills": 2,
    },
    "05_train_the_power_model": {"n_servers": 12, "days": 4, "seed": 43},
    "06_serve_in_the_stream": {"n_servers": 16, "rate": 300, "shadow_seconds": 5},
    "07_detect_anomalies": {"n_servers": 10, "days": 3, "storm_hours": 5},
    "09_drift": {"n_servers": 16, "quiet_days": 10, "seed": 7},
    "10_retrain_and_redeploy": {"power_factor": 1.25, "callers": 8},
}


@pytest.fixture(scope="module")
def practice_settings(stack: object, database_url: str) -> Settings:
    """The session's servers, with a database that is marked for practice."""
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,  # type: ignore[attr-defined]
        database_url=database_url,
        mlflow_tracking_uri=stack.mlflow_tracking_uri,  # type: ignore[attr-defined]
    )
    store = open_store(settings)
    store.migrate(list(builtin_specs().values()))
    store.mark_practice("the tests")
    store.close()
    return settings


@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_chapter_runs_alone_from_any_folder(
    notebook: Path,
    practice_settings: Settings,
    stack: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = stack.home  # type: ignore[attr-defined]
    environ = clean_environment(LAYOUT, {"RTMLOPS_HOME": str(home)})
    if not home.exists():
        environ["RTMLOPS_HOME"] = str(tmp_path / ".rtmlops")
    environ["RTMLOPS_KAFKA_BOOTSTRAP_SERVERS"] = (
        practice_settings.kafka_bootstrap_servers
    )
    environ["RTMLOPS_DATABASE_URL"] = practice_settings.database_url.get_secret_value()
    environ["RTMLOPS_MLFLOW_TRACKING_URI"] = practice_settings.mlflow_tracking_uri
    environ["IPYTHONDIR"] = str(tmp_path / "ipython")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    parameters = PARAMETERS[notebook.stem]
    known = parameter_names(read_chapter(LAYOUT.chapters / f"{notebook.stem}.md"))
    assert set(parameters) <= set(known)
    executed = papermill.execute_notebook(
        str(notebook),
        str(tmp_path / "out.ipynb"),
        parameters=parameters,
        cwd=str(tmp_path),
        kernel_name="python3",
        execution_timeout=300,
        progress_bar=False,
        extra_arguments=["--log-level=50"],
    )
    warned = [
        output.text
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert warned == []
