"""The retraining API as its callers meet it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from rtmlops_lib.models.aliases import Move, move_aliases
from rtmlops_lib.models.bundle import MANIFEST
from rtmlops_lib.models.bundle import MODEL as MODEL_FILE
from rtmlops_lib.models.pipeline import train_power_model
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.settings import Settings
from rtmlops_lib.store import ModelEvent
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import builtin_specs
from tests.support.api import TOKEN, RunningApi
from tests.support.mlflow_server import MlflowServer
from tests.support.power_rows import QUICK, simulated_batch, simulated_frame
from tests.support.service import command, environment
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live

JOB = "00000000-0000-0000-0000-000000000000"


def grafana(*alerts: dict[str, object], **more: object) -> dict[str, object]:
    """A notification as Grafana 12 sends it, with all its other fields."""
    return {
        "receiver": "rtmlops",
        "status": "firing",
        "orgId": 1,
        "alerts": [
            {
                "annotations": {"summary": "MAPE is 9 %"},
                "startsAt": "2026-11-23T12:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://grafana/alerting/a/edit",
                "silenceURL": "http://grafana/alerting/silence/new",
                "dashboardURL": "",
                "panelURL": "",
                "values": {"B": 0.09, "C": 1},
                "valueString": "[ var='B' labels={} value=0.09 ]",
                "orgId": 1,
                **alert,
            }
            for alert in alerts
        ],
        "groupLabels": {"alertname": "Live error"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://grafana/",
        "version": "1",
        "groupKey": "{}:{alertname='Live error'}",
        "truncatedAlerts": 0,
        "title": "[FIRING:1]",
        "state": "alerting",
        "message": "**Firing**",
        **more,
    }


def firing(fingerprint: str, **labels: str) -> dict[str, object]:
    return {
        "status": "firing",
        "fingerprint": fingerprint,
        "labels": {"alertname": "Live error", **labels},
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/retrain"),
        ("GET", "/jobs"),
        ("GET", f"/jobs/{JOB}"),
        ("POST", f"/jobs/{JOB}/cancel"),
        ("GET", "/models"),
        ("POST", "/models/x/promote"),
        ("POST", "/models/x/rollback"),
        ("POST", "/alerts/grafana"),
        ("GET", "/alerts"),
        ("POST", "/alerts/1/acknowledge"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/nothing"),
        ("DELETE", "/jobs"),
        ("GET", "/healthz/"),
        ("GET", "/healthz/../jobs"),
        ("GET", "/%2e/jobs"),
    ],
)
def test_nothing_is_given_without_the_token(
    module_api: RunningApi, method: str, path: str
) -> None:
    api = module_api
    wrong = [None, "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f"{TOKEN} {TOKEN}"]
    for token in wrong:
        answer = api.call(method, path, token=token)
        assert answer.status_code == 401, (path, token, answer.text)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text
    for header in (TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}", "Bearer"):
        answer = api.call(method, path, token=None, headers={"Authorization": header})
        assert answer.status_code == 401


@pytest.fixture(scope="module")
def module_api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> object:
    """One API for what changes nothing; its database need not even be migrated."""
    from tests.support.api import running_api

    stack = request.getfixturevalue("stack")
    mlflow = request.getfixturevalue("mlflow")
    folder = tmp_path_factory.mktemp("api")
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        database_url=request.getfixturevalue("database_url"),
        mlflow_tracking_uri=mlflow.uri,
        home=folder,
    )
    with running_api(settings, folder / "api.log") as api:
        yield api


def test_operations_need_no_token(api: RunningApi) -> None:
    assert api.get("/healthz", token=None).json() == {"alive": True}
    assert api.ready() == (200, [])
    api.get("/nothing")
    api.post("/retrain", json={"kind": "no such"})
    text = api.get("/metrics", token=None).text
    assert 'rtmlops_ready{service="api"} 1.0' in text
    assert (
        'rtmlops_api_requests_total{method="POST",route="/retrain",service="api",'
        'status="422"} 1.0' in text
    )
    assert 'route="other"' in text
    assert 'route="/nothing"' not in text
    assert TOKEN not in text


def test_fifty_requests_at_once_are_one_job(api: RunningApi, model: str) -> None:
    barrier = threading.Barrier(50)

    def ask(number: int) -> tuple[int, str]:
        barrier.wait(60)
        answer = api.post("/retrain", json={"reason": f"request {number}"})
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert len({job for _, job in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 49 + [202]
    (job,) = api.get("/jobs").json()["jobs"]
    assert (job["id"], job["model_name"]) == (answers[0][1], model)
    assert job["state"] == "queued"
    metrics = api.get("/metrics", token=None).text
    assert f'model="{model}",service="api",state="queued"}} 1.0' in metrics


def test_a_job_can_be_followed_from_request_to_outcome(
    api: RunningApi, store: PostgresStore, model: str
) -> None:
    body = {
        "trigger": "error_alert",
        "reason": "it grew",
        "requested_by": "monitor",
        "change_point": "2026-11-23T12:00:00+01:00",
    }
    answer = api.post("/retrain", json=body)
    assert answer.status_code == 202
    where = answer.headers["location"]
    job = api.get(where).json()
    assert job == answer.json()
    assert job["options"] == {"change_point": "2026-11-23T12:00:00+01:00"}
    taken = store.retrain_jobs.take("worker")
    assert taken is not None
    assert api.get(where).json()["state"] == "running"
    assert api.post("/retrain").json()["id"] == job["id"]
    store.retrain_jobs.finish(taken, "succeeded", "passed", version=3)
    assert api.get(where).json()["outcome"] == "passed"
    assert (
        api.get("/jobs", params={"state": "succeeded"}).json()["jobs"][0]["version"]
        == 3
    )
    assert api.get("/jobs", params={"state": "failed"}).json() == {"jobs": []}
    assert api.get("/jobs", params={"model": "other"}).json() == {"jobs": []}
    # The cooldown counts from the end.
    refused = api.post("/retrain", json={})
    assert refused.status_code == 429
    assert 590 <= int(refused.headers["retry-after"]) <= 600
    # Another model is another matter.
    assert api.post("/retrain", json={"kind": "anomaly"}).status_code == 202


def test_a_training_can_be_cancelled_until_its_version_is_registered(
    api: RunningApi, store: PostgresStore
) -> None:
    first = api.post("/retrain").json()
    answer = api.post(f"/jobs/{first['id']}/cancel", json={"reason": "a mistake"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["outcome"] == "cancelled through the API: a mistake"
    assert answer.json() == api.get(f"/jobs/{first['id']}").json()
    again = api.post(f"/jobs/{first['id']}/cancel")
    assert again.status_code == 409
    assert "ended before: cancelled" in again.json()["error"]
    # It was no training: nothing has to cool.
    second = api.post("/retrain")
    assert second.status_code == 202
    taken = store.retrain_jobs.take("worker")
    assert taken is not None and store.retrain_jobs.registered(taken, 7)
    late = api.post(f"/jobs/{taken.id}/cancel")
    assert late.status_code == 409
    assert "v7" in late.json()["error"]
    assert store.retrain_jobs.finish(taken, "succeeded", "passed")
    ended = api.post(f"/jobs/{taken.id}/cancel")
    assert "ended before: succeeded" in ended.json()["error"]


def test_after_the_cooldown_there_is_a_second_job(
    api: RunningApi, site: Settings, store: PostgresStore
) -> None:
    api.post("/retrain")
    taken = store.retrain_jobs.take("worker")
    assert taken is not None
    store.retrain_jobs.finish(taken, "failed", "")
    refused = api.post("/retrain")
    assert refused.status_code == 429
    with closing(psycopg2.connect(site.database_url.get_secret_value())) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            f"UPDATE {site.database_schema}.retrain_jobs SET finished_at = "
            f"finished_at - interval '{refused.headers['retry-after']} s'"
        )
    assert api.post("/retrain").status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "psychic"}, "body.kind"),
        ({"stream": 7}, "body.stream"),
        ({"reason": "a\x00b"}, "body.reason"),
        ({"reason": "x" * 501}, "body.reason"),
        ({"reason": "\ud800"}, "body.reason"),
        ({"surprise": 1}, "body.surprise"),
        ({"\ud800": 1}, "body"),
        ({"change_point": "yesterday"}, "body.change_point"),
        ({"change_point": "2026-11-23T12:00:00"}, "body.change_point"),
        ({"change_point": 7}, "body.change_point"),
        ([1], "body"),
        ("text", "body"),
        (7, "body"),
    ],
)
def test_what_is_wrong_is_named(
    module_api: RunningApi, body: object, field: str
) -> None:
    answer = module_api.post(
        "/retrain",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert field in " ".join(answer.json()["fields"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe\x00",
        b'{"reason": "\xff"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"reason": 1' + b"0" * 50_000 + b"}",
        b"NaN",
        b"\x00" * 100,
    ],
)
def test_garbage_is_refused_quickly(module_api: RunningApi, body: bytes) -> None:
    begun = time.monotonic()
    for path in ("/retrain", "/alerts/grafana", f"/models/{'x' * 50}/promote"):
        answer = module_api.post(
            path, content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text
        assert "Traceback" not in answer.text
    assert time.monotonic() - begun < 5


def test_large_bodies_are_refused_announced_or_not(module_api: RunningApi) -> None:
    def pieces() -> object:
        for _ in range(200):
            yield b"x" * 65_536

    many = b"x" * (64 * 1024 + 1)
    for content in (many, pieces(), b"x" * 20_000_000):
        answer = module_api.post("/retrain", content=content)
        assert answer.status_code == 413, answer.text
    # A path of its own: Grafana may have much to say.
    assert module_api.post("/alerts/grafana", content=many).status_code == 422
    assert module_api.post("/alerts/grafana", content=pieces()).status_code == 413
    # Without a token nothing is read at all.
    answer = module_api.post("/retrain", content=many, token=None)
    assert answer.status_code == 401


def test_who_sends_nothing_is_not_waited_for(module_api: RunningApi) -> None:
    """Neither half a header nor half a body holds a connection for long."""
    halves = (
        b"POST /retrain HTTP/1.1\r\nHost: x\r\n",
        b"POST /retrain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + TOKEN.encode()
        + b"\r\nContent-Length: 100\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHo",
    )

    def wait(half: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", module_api.port), 5) as client:
            client.sendall(half)
            client.settimeout(120)
            answer = b""
            while data := client.recv(65_536):
                answer += data
            return answer

    with ThreadPoolExecutor(3) as pool:
        header, body, second = pool.map(wait, halves)
    assert header == b""
    assert body.startswith(b"HTTP/1.1 408")
    assert second.count(b"HTTP/1.1") == 1


def test_unknown_things_and_methods_are_said(api: RunningApi, model: str) -> None:
    assert api.get("/nothing").status_code == 404
    assert api.get(f"/jobs/{JOB}").status_code == 404
    assert api.get("/jobs/none").status_code == 422
    assert api.post(f"/jobs/{JOB}/cancel").status_code == 404
    assert api.post("/jobs/none/cancel").status_code == 422
    assert api.post("/retrain", json={"stream": "none"}).status_code == 404
    assert api.post("/models/none/rollback", json={"reason": "x"}).status_code == 404
    missing = api.post(f"/models/{model}/promote", json={"version": 7})
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        f"{model} has no version 7",
    )
    assert api.post("/alerts/1/acknowledge").status_code == 404
    for method, path, allowed in (
        ("DELETE", "/jobs", "GET"),
        ("GET", "/retrain", "POST"),
        ("PUT", "/models", "GET"),
        ("TRACE", "/jobs", "GET"),
    ):
        answer = api.call(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["error"]


def test_every_answer_carries_the_headers(module_api: RunningApi) -> None:
    for path, token in (
        ("/", None),
        ("/jobs", None),
        ("/jobs", TOKEN),
        ("/nothing", TOKEN),
        ("/metrics", None),
        ("/page/static/page.css", None),
    ):
        headers = module_api.get(path, token=token).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_models_show_who_serves(
    api: RunningApi,
    registry: ModelRegistry,
    store: PostgresStore,
    versions: str,
) -> None:
    move_aliases(registry, store, versions, Move.promote(1))
    move_aliases(registry, store, versions, Move.shadow(3))
    models = {m["name"]: m for m in api.get("/models").json()["models"]}
    assert len(models) == 3
    found = models[versions]
    assert (found["champion"], found["challenger"], found["previous"]) == (1, 3, None)
    assert [v["version"] for v in found["versions"]] == [3, 2, 1]
    # What is no number has no place in JSON.
    assert found["versions"][0]["metrics"] == {"mape": 0.03}
    others = [m for name, m in models.items() if name != versions]
    assert all(m["champion"] is None and m["versions"] == [] for m in others)


def test_promotion_and_rollback_are_those_of_the_command_line(
    api: RunningApi, site: Settings, registry: ModelRegistry, versions: str
) -> None:
    promote, rollback = f"/models/{versions}/promote", f"/models/{versions}/rollback"
    nobody = api.post(rollback, json={"reason": "x"})
    assert nobody.status_code == 409
    assert "no previous version" in nobody.json()["error"]
    without = api.post(promote, json={"version": 1, "force": True})
    assert without.status_code == 422
    for version in (1, 2):
        body = {"version": version, "force": True, "reason": "by hand"}
        answer = api.post(promote, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["promoted"]
    assert [
        (e["alias"], e["from_version"], e["to_version"], e["forced"], e["reason"])
        for e in answer.json()["events"]
    ] == [("previous", None, 1, True, "by hand"), ("champion", 1, 2, True, "by hand")]
    shadow = api.post(promote, json={"version": 3, "to": "challenger"})
    assert shadow.json()["events"][0]["alias"] == "challenger"
    assert api.post(rollback, json={"reason": " "}).status_code == 422
    back = api.post(rollback, json={"reason": "errors doubled"})
    assert back.status_code == 200
    assert registry.aliases(versions) == {"champion": 1, "challenger": 3}
    assert registry.version(versions, 2).rolled_back == "errors doubled"
    never = api.post(promote, json={"version": 2, "force": True, "reason": "again"})
    assert never.status_code == 409
    assert "errors doubled" in never.json()["error"]


def test_the_gate_is_asked_and_its_answer_given(
    api: RunningApi, registry: ModelRegistry, store: PostgresStore, model: str
) -> None:
    store.backfill([simulated_batch()])
    spec = builtin_specs()["datacenter"]
    for _ in range(2):
        train_power_model(
            registry,
            store,
            model,
            spec,
            simulated_frame(),
            settings=QUICK,
            promote=False,
        )
    passed = api.post(f"/models/{model}/promote", json={"version": 1})
    assert passed.status_code == 200, passed.text
    assert passed.json()["promoted"]
    assert passed.json()["gate"]["against"] == "linear baseline"
    # An equal model is not better.
    refused = api.post(f"/models/{model}/promote", json={"version": 2})
    assert refused.status_code == 409
    assert "refused against champion v1" in refused.json()["error"]
    assert any(f.startswith("failed: ") for f in refused.json()["fields"])
    assert registry.aliases(model)["champion"] == 1


def test_a_gate_that_takes_too_long_is_given_up_and_moves_nothing(
    start: Callable[..., RunningApi],
    registry: ModelRegistry,
    store: PostgresStore,
    model: str,
) -> None:
    store.backfill([simulated_batch()])
    spec = builtin_specs()["datacenter"]
    train_power_model(
        registry, store, model, spec, simulated_frame(), settings=QUICK, promote=False
    )
    before = registry.aliases(model), len(store.model_events(model))
    api = start(RTMLOPS_API_GATE_SECONDS="0.001")
    late = api.post(f"/models/{model}/promote", json={"version": 1})
    assert late.status_code == 504, late.text
    assert "nothing was moved, and nothing will be" in late.json()["error"]
    assert "RTMLOPS_API_GATE_SECONDS" in late.json()["remedy"]
    wait_until(
        lambda: "move_given_up" in api.process.output(),
        timeout=90,
        what="the gate comes to its own end",
    )
    assert (registry.aliases(model), len(store.model_events(model))) == before
    # What asks no gate has time enough.
    body = {"version": 1, "force": True, "reason": "by hand"}
    forced = api.post(f"/models/{model}/promote", json=body)
    assert forced.status_code == 200, forced.text
    assert registry.aliases(model) == {"champion": 1}


def test_files_that_are_gone_are_named_and_nobody_is_asked_to_try_again(
    api: RunningApi,
    registry: ModelRegistry,
    store: PostgresStore,
    model: str,
    mlflow: MlflowServer,
) -> None:
    spec = builtin_specs()["datacenter"]
    made = train_power_model(
        registry, store, model, spec, simulated_frame(), settings=QUICK, promote=False
    ).version
    place = f"artifacts/*/{made.run_id}/artifacts/model"
    for name, gone in ((MODEL_FILE, f"no {MODEL_FILE} of"), ("*", MANIFEST)):
        for file in mlflow.folder.glob(f"{place}/{name}"):
            file.unlink()
        answer = api.post(f"/models/{model}/promote", json={"version": 1})
        assert answer.status_code == 409, answer.text
        assert gone in answer.json()["error"]
        assert f"{model} v1" in answer.json()["error"]
        assert "retry-after" not in answer.headers
    assert registry.aliases(model) == {"challenger": 1}


def test_movers_at_once_take_turns(
    api: RunningApi, store: PostgresStore, versions: str
) -> None:
    def promote(version: int) -> int:
        body = {"version": version, "force": True, "reason": "race"}
        return api.post(f"/models/{versions}/promote", json=body).status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(promote, (1, 2, 3))) == [200] * 3
    events = store.model_events(versions).sort_values("id")
    champions = events[events["alias"] == "champion"]
    assert (
        champions["from_version"].tolist()[1:] == champions["to_version"].tolist()[:-1]
    )


def test_grafanas_alerts_are_recorded_and_closed(
    api: RunningApi, store: PostgresStore
) -> None:
    first = api.post(
        "/alerts/grafana",
        json=grafana(firing("aa", severity="page", stream="datacenter"), firing("bb")),
    )
    assert first.status_code == 200, first.text
    assert len(first.json()["recorded"]) == 2
    assert first.json()["retrain"] == []
    again = api.post("/alerts/grafana", json=grafana(firing("aa")))
    assert again.json()["recorded"] == first.json()["recorded"][:1]
    rows = {row["key"]: row for row in store.alerts.records(open_only=True)}
    assert rows["aa"]["times_reported"] == 2
    assert rows["aa"]["source"] == "grafana"
    assert rows["aa"]["message"] == "MAPE is 9 %"
    assert rows["bb"]["severity"] == "warning"
    assert rows["aa"]["detail"]["values"] == {"B": 0.09, "C": 1}
    over = grafana({**firing("aa"), "status": "resolved"}, status="resolved")
    assert api.post("/alerts/grafana", json=over).json() == {
        "recorded": [],
        "resolved": first.json()["recorded"][:1],
        "retrain": [],
    }
    assert api.post("/alerts/grafana", json=over).json()["resolved"] == []
    (left,) = api.get("/alerts").json()["alerts"]
    assert left["key"] == "bb"
    everything = api.get("/alerts", params={"open": False}).json()["alerts"]
    assert len(everything) == 2
    acknowledged = api.post(f"/alerts/{left['id']}/acknowledge", params={"by": "ada"})
    assert acknowledged.status_code == 204
    assert api.get("/alerts").json()["alerts"][0]["acknowledged_by"] == "ada"


def test_only_an_alert_that_asks_for_it_retrains(
    api: RunningApi, store: PostgresStore, model: str
) -> None:
    quiet = grafana(firing("a"), firing("b", action="page"))
    assert api.post("/alerts/grafana", json=quiet).json()["retrain"] == []
    loud = grafana(
        firing("c", action="retrain"),
        firing("d", action="retrain", model=model),
        firing("e", action="retrain", kind="anomaly", stream="services"),
        firing("f", action="retrain", stream="<script>"),
        {**firing("g", action="retrain"), "status": "resolved"},
    )
    found = {
        one["model"]: one
        for one in api.post("/alerts/grafana", json=loud).json()["retrain"]
    }
    assert {name: one["result"] for name, one in found.items()} == {
        model: "queued",
        model.replace("datacenter-power_kw", "services-detector"): "queued",
        "<script>/power": "unknown_model",
    }
    job = found[model]["job"]
    assert (job["trigger"], job["reason"]) == ("grafana", "MAPE is 9 %")
    assert job["options"]["alert_started_at"] == "2026-11-23T12:00:00Z"
    # The same single flight as by hand, and no error for Grafana to repeat.
    assert api.post("/retrain").json()["id"] == job["id"]
    again = api.post("/alerts/grafana", json=loud)
    assert {one["result"] for one in again.json()["retrain"]} == {
        "open",
        "unknown_model",
    }
    while (taken := store.retrain_jobs.take("w")) is not None:
        store.retrain_jobs.finish(taken, "failed", "")
    cooling = api.post("/alerts/grafana", json=grafana(firing("c", action="retrain")))
    assert cooling.status_code == 200
    (one,) = cooling.json()["retrain"]
    assert one["result"] == "cooldown"
    assert one["retry_after"] > 590


def test_grafana_learns_from_after_the_change_and_heeds_a_probation(
    api: RunningApi, site: Settings, store: PostgresStore, model: str
) -> None:
    now = datetime.now(UTC)
    changed = (now - timedelta(hours=9)).isoformat()
    store.drift_reports.add(
        stream="datacenter",
        model_name=model,
        model_version=2,
        kind="error",
        window_start=now - timedelta(hours=1),
        window_end=now,
        state="drift",
        report={"change_point": changed},
    )
    watched = store.probations.begin(
        model, 2, 1, started_at=now, ends_at=now + timedelta(days=1)
    )
    loud = grafana(firing("a", action="retrain"))

    def asked() -> dict[str, object]:
        answer = api.post("/alerts/grafana", json=loud)
        assert answer.status_code == 200, answer.text
        (one,) = answer.json()["retrain"]
        return dict(one)

    assert asked()["result"] == "cooldown"
    store.probations.decide(watched, "rolled_back")
    assert asked()["result"] == "cooldown"
    assert store.retrain_jobs.newest() == []
    with closing(psycopg2.connect(site.database_url.get_secret_value())) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            f"UPDATE {site.database_schema}.probations SET decided_at = "
            "decided_at - interval '601 s'"
        )
    found = asked()
    assert found["result"] == "queued"
    (job,) = store.retrain_jobs.newest()
    assert job.options["change_point"] == changed


def test_whether_all_is_well_is_told_while_every_place_is_taken(
    api: RunningApi, site: Settings
) -> None:
    api.get("/alerts")
    with closing(psycopg2.connect(site.database_url.get_secret_value())) as connection:
        connection.cursor().execute(f"LOCK TABLE {site.database_schema}.alerts")
        with ThreadPoolExecutor(6) as pool:
            waiting = [pool.submit(api.get, "/alerts") for _ in range(6)]
            answers = []
            while not all(one.done() for one in waiting):
                answers.append(api.ready())
                time.sleep(0.2)
        assert {one.result().status_code for one in waiting} == {503}
    assert len(answers) > 3
    assert set(map(str, answers)) == {str((200, []))}


def test_a_pending_rollback_does_not_pass_for_another_move(
    api: RunningApi,
    registry: ModelRegistry,
    store: PostgresStore,
    versions: str,
) -> None:
    for version in (1, 2):
        move_aliases(registry, store, versions, Move.promote(version))
    with store.model_lock(versions) as ledger:
        # A process that was killed wrote down no more than this.
        ledger.plan(
            [
                ModelEvent(versions, "rollback", "previous", 1, None, reason="bad"),
                ModelEvent(versions, "rollback", "champion", 2, 1, reason="bad"),
            ]
        )
    body = {"version": 3, "force": True, "reason": "by hand"}
    answer = api.post(f"/models/{versions}/promote", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["promoted"]
    assert registry.aliases(versions) == {"champion": 3, "previous": 1}
    assert registry.version(versions, 2).rolled_back == "bad"


def test_an_old_or_odd_notification_is_recorded_as_well(
    api: RunningApi, store: PostgresStore
) -> None:
    # Grafana 9.4 had no values, and the test button sends few labels.
    old = grafana({**firing("x"), "values": None, "annotations": {}})
    bare = {"alerts": [{"status": "firing", "labels": {"instance": "Grafana"}}]}
    nul = grafana(
        {
            **firing("n\x00"),
            "annotations": {"summary": "a\x00b"},
            "values": {"A": "NaN"},
        }
    )
    deep: dict[str, object] = {"A": 1}
    for _ in range(600):
        deep = {"A": deep}
    nested = grafana({**firing("d"), "values": deep})
    # As many as there may be.
    huge = grafana(*(firing(f"h{i}", host=f"h{i}") for i in range(2_000)))
    for body in (old, bare, nul, nested, huge):
        answer = api.post("/alerts/grafana", json=body)
        assert answer.status_code == 200, answer.text
    assert api.post("/alerts/grafana", json={"alerts": []}).status_code == 200
    rows = store.alerts.records(limit=3_000)
    assert len(rows) == 2_004
    assert {"Live error", "unnamed", "a\ufffdb"} <= {row["message"] for row in rows}


def test_no_start_without_a_token(site: Settings) -> None:
    env = environment(site)
    for token, said in (
        (None, "does not start without a token"),
        ("", "does not start without a token"),
        ("short", "at least 16"),
        ("x" * 20 + "é", "printable ASCII"),
    ):
        env.pop("RTMLOPS_API_TOKEN", None)
        if token is not None:
            env["RTMLOPS_API_TOKEN"] = token
        done = subprocess.run(
            command("api"), env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert "secrets.token_urlsafe" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_taken_port_is_said(site: Settings) -> None:
    (port,) = free_ports(1)
    env = environment(site, RTMLOPS_API_TOKEN=TOKEN)
    with closing(socket.create_server(("127.0.0.1", port))):
        done = subprocess.run(
            command("api", "--port", str(port)),
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)]
)
def test_it_leaves_at_once_when_asked_to(
    api: RunningApi, number: signal.Signals, code: int
) -> None:
    api.get("/jobs")  # an open connection is no reason to stay
    begun = time.monotonic()
    api.process.signal(number)
    assert api.process.wait(10) == code
    assert time.monotonic() - begun < 5
    assert "Traceback" not in api.process.output()


def test_its_log_is_json_and_holds_no_secret(api: RunningApi) -> None:
    api.post("/page/login", data={"token": "guess"}, token=None)
    api.process.terminate()
    text = api.process.output()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert {"started", "login_refused", "stopped"} <= set(events)
    assert TOKEN not in text
    assert "guess" not in text


def test_the_lists_of_the_command_line(
    api: RunningApi, site: Settings, store: PostgresStore
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            command(*arguments),
            env=environment(site),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    assert "no open alerts" in run("alerts", "list")
    api.post("/alerts/grafana", json=grafana(firing("a"), firing("b")))
    listed = json.loads(run("alerts", "list", "--json"))
    assert [row["key"] for row in listed] == ["b", "a"]
    assert "MAPE is 9 %" in run("alerts", "list")
    number = str(listed[0]["id"])
    assert "acknowledged by ada" in run("alerts", "ack", number, "--by", "ada")
    assert "seen by ada" in run("alerts", "list")
    assert "no alert 99" in run("alerts", "ack", "99", code=2)
    assert "no anomalies since" in run("anomalies", "list")
    sql = (
        "INSERT INTO {}.anomaly_events (stream, series_key, detector, started_at, "
        "ended_at, peak_at, confirmed_at, peak_score, flagged_rows, severity, metric, "
        "explanation, state, series) SELECT 'datacenter', 'srv-' || n, 'default', "
        "now() - n * interval '1 hour', now() - (n - 1) * interval '1 hour', now(), "
        "now(), 0.9, 7, 'high', 'temperature', '[bold]hot', "
        "CASE n WHEN 1 THEN 'open' ELSE 'closed' END, '{{}}' "
        "FROM generate_series(1, 30) n"
    )
    with closing(psycopg2.connect(site.database_url.get_secret_value())) as connection:
        connection.autocommit = True
        connection.cursor().execute(sql.format(site.database_schema))
    found = json.loads(run("anomalies", "list", "--json"))
    assert [row["series_key"] for row in found[:2]] == ["srv-1", "srv-2"]
    # One that reaches into the time counts, whenever it began.
    assert len(found) == 24
    opened = json.loads(run("anomalies", "list", "--open", "--since", "7d", "--json"))
    assert [row["series_key"] for row in opened] == ["srv-1"]
    assert json.loads(run("anomalies", "list", "--stream", "services", "--json")) == []
    assert "[bold]hot" in run("anomalies", "list", "--limit", "1")
    store.alerts.resolve_all(["a", "b"], source="grafana")
    assert "no open alerts" in run("alerts", "list")
    assert "resolved" in run("alerts", "list", "--all")
