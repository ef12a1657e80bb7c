"""The API answers as its documentation says, whatever it is asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.api import TOKEN, RunningApi

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_it_holds_what_its_schema_promises(
    start: Callable[..., RunningApi], tmp_path: Path
) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    # Half the requests would end in the cooldown, and say little.
    api = start(RTMLOPS_API_COOLDOWN_SECONDS="0")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{api.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {TOKEN}",
            "--max-examples=12",
            "--seed=5",
            "--workers=2",
            "--request-timeout=20",
            "--no-color",
            "--max-time=120",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    # Whatever it asked, the API lives, and has met no error of its own.
    metrics = api.get("/metrics", token=None).text
    assert 'status="500"' not in metrics
    assert 'route="/alerts/grafana",service="api",status="200"' in metrics
    assert "Traceback" not in api.process.output()
