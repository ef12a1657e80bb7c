"""The API as a process of its own, and a caller who knows its token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from rtmlops_lib.settings import Settings
from tests.support.service import Service, service
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

TOKEN = "a-token-for-tests-only-0123456789"


class RunningApi:
    """Calls one API; with the token unless told otherwise."""

    def __init__(self, process: Service, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def call(
        self, method: str, path: str, *, token: str | None = TOKEN, **more: Any
    ) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.call("POST", path, **more)

    def ready(self) -> tuple[int, list[str]]:
        answer = self.get("/readyz", token=None)
        return answer.status_code, answer.json()["reasons"]


@contextmanager
def running_api(settings: Settings, log: Path, **env: str) -> Iterator[RunningApi]:
    """Start ``rtmlops api`` and wait until it answers; it is gone afterwards."""
    port = free_ports(1)[0]
    with service(
        settings,
        log,
        "api",
        "--port",
        str(port),
        **{
            "RTMLOPS_API_TOKEN": TOKEN,
            "RTMLOPS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
            **env,
        },
    ) as process:
        api = RunningApi(process, port)

        def answers() -> bool:
            assert process.running, process.output()
            try:
                return api.get("/healthz", token=None).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, timeout=60, what="the API answers")
            yield api
        finally:
            api.client.close()
