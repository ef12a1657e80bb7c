"""A fresh stack with every service: none of them keeps 'up' from coming to its end."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest

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
