"""A fresh stack with every service: none of them keeps 'up' from coming to its end."""

from __future__ import annotations

import os
from dataclasses import asdict

import httpx
import pytest
from pydantic import SecretStr

from rtmlops_lib.settings import Settings, parse_env_file
from rtmlops_lib.stack import examine
from rtmlops_lib.stack._reporter import Reporter
from tests.support.service import get_json
from tests.support.stacks import scratch_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.live


class Heard(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.states: dict[str, str] = {}

    def say(self, message: str) -> None:
        self.said.append(message)

    def state(self, part: str, state: str) -> None:
        self.states[part] = state


def test_the_api_runs_with_a_token_of_the_stacks_own() -> None:
    with scratch_stack(postgres="embedded") as (stack, _):
        env = stack.home.env_file
        assert env.stat().st_mode & 0o777 == 0o600
        told = parse_env_file(env)
        heard = stack._reporter = Heard()
        theirs = stack.settings.model_copy(
            update={"api_token": SecretStr("a production token")}
        )
        stack.settings = theirs
        stack.up("api")
        assert heard.states["api"] == "ready"
        again = parse_env_file(env)
        assert again["RTMLOPS_API_TOKEN"] == told["RTMLOPS_API_TOKEN"]
        assert len(told["RTMLOPS_API_TOKEN"]) >= 32
        found = Settings.load(
            environ={"RTMLOPS_HOME": str(stack.home.path), "RTMLOPS_ENV_FILE": ""}
        )
        assert found.api_token is not None
        for token, status in (
            (found.api_token.get_secret_value(), 200),
            ("a production token", 401),
        ):
            answer = httpx.get(
                f"{found.api_url}/jobs",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert answer.status_code == status
        page = httpx.get(f"{found.api_url}/", trust_env=False)
        assert page.status_code == 200


def test_without_a_champion_the_predictor_waits_and_up_does_not() -> None:
    with scratch_stack(postgres="embedded") as (stack, _):
        heard = stack._reporter = Heard()
        stack.up("all")
        assert heard.states["storage"] == heard.states["detector"] == "ready"
        assert heard.states["predictor"] == "running"
        port = stack.ports()["predictor"]
        wait_until(
            lambda: "no champion" in str(get_json(port, "/readyz")[1]),
            timeout=60,
            what="it says what it waits for",
        )
        # Both say so: who is asked for it alone, and who looks at everything.
        stack.restart("predictor")
        checks = {c.name: c for c in examine(stack.settings, dict(os.environ))}
        assert {"storage", "predictor", "detector"} <= checks.keys()
        wrong = [asdict(checks[s]) for s in ("storage", "detector", "predictor")]
        assert [c["ok"] for c in wrong] == [True, True, True], wrong
        assert "predictor waits: " in " ".join(heard.said)
