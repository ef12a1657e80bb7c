"""Health over HTTP, as a probe would ask."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from rtmlops_lib.errors import UsageError
from rtmlops_lib.metrics import ServiceMetrics
from rtmlops_lib.services.health import Health, HealthServer


@pytest.fixture
def server():
    metrics, health = ServiceMetrics("storage"), Health()
    made = HealthServer(health, metrics.registry, host="127.0.0.1", port=0)
    made.start()
    yield made, health, metrics
    made.close()
    made.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_says_why_it_is_not_ready(server) -> None:
    made, health, _ = server
    health.set(("the database is away; check it",))
    status, body = get(made.port, "/readyz")
    assert status == 503
    assert json.loads(body) == {
        "ready": False,
        "reasons": ["the database is away; check it"],
    }
    health.set(())
    assert get(made.port, "/readyz")[0] == 200


def test_a_loop_that_hangs_is_not_alive(server, monkeypatch) -> None:
    made, health, _ = server
    assert get(made.port, "/healthz")[0] == 200
    monkeypatch.setattr(health, "_beat", health._beat - 120)
    assert get(made.port, "/healthz")[0] == 503
    health.beat()
    assert get(made.port, "/healthz")[0] == 200


def test_serves_metrics_in_prometheus_text(server) -> None:
    made, _, metrics = server
    metrics.rows.labels("storage", "datacenter").inc(7)
    status, body = get(made.port, "/metrics?name[]=rows")
    assert status == 200
    assert b'rtmlops_rows_total{service="storage",stream="datacenter"} 7.0' in body


def test_an_unknown_path_is_404(server) -> None:
    assert get(server[0].port, "/secrets")[0] == 404


def test_a_taken_port_is_refused_with_a_remedy(server) -> None:
    made, health, metrics = server
    second = HealthServer(health, metrics.registry, host="127.0.0.1", port=made.port)
    with pytest.raises(UsageError, match="--metrics-port"):
        second.start()


def test_what_a_ready_service_cannot_do_stands_beside(server) -> None:
    made, health, _ = server
    health.set((), notes=("a: never judged; train on more",))
    status, body = get(made.port, "/readyz")
    assert status == 200
    assert json.loads(body)["notes"] == ["a: never judged; train on more"]
    health.set(())
    assert "notes" not in json.loads(get(made.port, "/readyz")[1])
