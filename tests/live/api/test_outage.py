"""The API while the database or MLflow is away: 503, and says which."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psycopg2
import pytest
from pydantic import SecretStr

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.postgres import PostgresStore
from tests.faults.proxy import StallProxy
from tests.live.api.test_api import firing, grafana
from tests.support.api import RunningApi
from tests.support.mlflow_server import MlflowServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


@pytest.fixture
def proxy(site: Settings) -> Iterator[StallProxy]:
    with StallProxy.before(site.database_url.get_secret_value()) as proxy:
        yield proxy


@pytest.fixture
def api(
    site: Settings, proxy: StallProxy, start: Callable[..., RunningApi]
) -> RunningApi:
    """An API whose way to the database can be cut."""
    url = proxy.url(site.database_url.get_secret_value())
    return start(site.model_copy(update={"database_url": SecretStr(url)}))


def is_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert "Traceback" not in answer.text
    if "json" in answer.headers["content-type"]:
        assert answer.json()["error"]
        assert answer.json()["remedy"]


def test_a_silent_database_is_503_in_bounded_time(
    api: RunningApi, proxy: StallProxy, model: str
) -> None:
    assert api.ready() == (200, [])
    assert api.post("/retrain").status_code == 202
    proxy.stall()
    begun = time.monotonic()

    def ask(number: int) -> httpx.Response:
        path = ("/retrain", "/alerts/grafana")[number % 2]
        body = ({}, grafana(firing("a", action="retrain")))[number % 2]
        return api.post(path, json=body)

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(ask, number) for number in range(12)]
        time.sleep(0.5)
        # Whoever needs no database is answered meanwhile.
        for path in ("/healthz", "/models"):
            assert api.get(path).status_code == 200
        wait_until(lambda: api.ready()[0] == 503, timeout=30, what="it says so")
        (reason,) = api.ready()[1]
        assert reason.startswith("the database does not answer")
        for one in waiting:
            is_unavailable(one.result(30))
    assert time.monotonic() - begun < 60
    metrics = api.get("/metrics", token=None).text
    assert 'rtmlops_ready{service="api"} 0.0' in metrics
    assert "rtmlops_retrain_jobs{" not in metrics
    proxy.resume()
    wait_until(lambda: api.ready()[0] == 200, timeout=20, what="it is back")
    assert len(api.get("/jobs").json()["jobs"]) == 1
    assert api.post("/retrain").status_code == 200


def test_a_database_that_ends_all_connections_is_met_again(
    api: RunningApi, site: Settings, store: PostgresStore
) -> None:
    for _ in range(3):
        assert api.get("/jobs").status_code == 200
    with closing(psycopg2.connect(site.database_url.get_secret_value())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'rtmlops-api' "
                "AND datname = current_database()"
            )
            assert cursor.fetchone()[0] >= 1
    answers = [api.get("/jobs") for _ in range(6)]
    assert answers[-1].status_code == 200
    for answer in answers:
        if answer.status_code != 200:
            is_unavailable(answer)


def test_a_database_that_is_not_there_is_503(
    site: Settings, start: Callable[..., RunningApi]
) -> None:
    away = SecretStr("postgresql://rtmlops@127.0.0.1:9/rtmlops")
    api = start(site.model_copy(update={"database_url": away}))
    for answer in (
        api.post("/retrain"),
        api.get("/jobs"),
        api.get("/alerts"),
        api.post("/alerts/grafana", json=grafana(firing("a"))),
        api.post("/alerts/1/acknowledge"),
    ):
        is_unavailable(answer)
        assert "RTMLOPS_DATABASE_URL" in answer.json()["remedy"]
    assert api.ready()[0] == 503
    assert api.get("/healthz", token=None).status_code == 200


def test_a_database_without_tables_asks_for_a_migration(
    site: Settings, start: Callable[..., RunningApi]
) -> None:
    api = start(site.model_copy(update={"database_schema": "nothing_here"}))
    answer = api.post("/retrain")
    is_unavailable(answer)
    assert "rtmlops db migrate" in answer.json()["remedy"]
    assert api.ready()[0] == 503


def test_mlflow_away_is_503_where_it_is_needed(
    api: RunningApi, mlflow: MlflowServer, versions: str
) -> None:
    body = {"version": 1, "force": True, "reason": "x"}
    assert api.get("/models").status_code == 200
    mlflow.stop()
    try:
        for answer in (
            api.get("/models"),
            api.post(f"/models/{versions}/promote", json=body),
            api.post(f"/models/{versions}/rollback", json={"reason": "x"}),
        ):
            is_unavailable(answer)
            assert "MLflow" in answer.json()["error"]
        status, reasons = api.ready()
        assert status == 503
        assert [r.split(" does")[0] for r in reasons] == ["MLflow"]
        # What needs no model goes on: a job waits in the database.
        assert api.post("/retrain").status_code == 202
    finally:
        mlflow.start()
    wait_until(lambda: api.ready()[0] == 200, timeout=30, what="it is back")
    assert api.post(f"/models/{versions}/promote", json=body).status_code == 200


def test_the_page_says_what_is_away(
    api: RunningApi, proxy: StallProxy, mlflow: MlflowServer, model: str
) -> None:
    from tests.support.api import TOKEN

    browser = httpx.Client(base_url=api.url, timeout=40, follow_redirects=True)
    page = browser.post("/page/login", data={"token": TOKEN})
    assert page.status_code == 200
    proxy.stall()
    mlflow.stop()
    try:
        # What was known is shown for some seconds more.
        page = wait_until(
            lambda: (
                answer
                if "MLflow at" in (answer := browser.get("/")).text
                and "the database did not answer" in answer.text
                else None
            ),
            timeout=60,
            what="the page says what is away",
        )
        is_unavailable(page)
        assert model in page.text
    finally:
        proxy.resume()
        mlflow.start()
    wait_until(
        lambda: browser.get("/").status_code == 200, timeout=30, what="it is back"
    )


def test_it_leaves_in_time_while_the_database_is_silent(
    api: RunningApi, proxy: StallProxy
) -> None:
    assert api.get("/jobs").status_code == 200
    proxy.stall()

    def ask(_: int) -> int:
        try:
            return api.post("/retrain").status_code
        except httpx.TransportError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, number) for number in range(8)]
        time.sleep(0.5)
        begun = time.monotonic()
        api.process.signal(signal.SIGTERM)
        assert api.process.wait(12) == 0
        assert time.monotonic() - begun < 10
        assert {one.result(10) for one in waiting} <= {0, 503, 500}
    assert "Traceback" not in api.process.output()
