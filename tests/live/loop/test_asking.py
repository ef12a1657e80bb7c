"""The monitor's two ways to a training, and that they are one queue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.services.retrain_asker import RetrainAsker
from rtmlops_lib.settings import Settings
from tests.support.loop_lab import LoopLab
from tests.support.power_rows import START
from tests.support.service import get_json, service
from tests.support.stacks import free_ports
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]

TOKEN = "a token of this test, long enough"


@pytest.fixture
def api(lab: LoopLab) -> Iterator[Settings]:
    """Settings that lead to a running API."""
    port = free_ports(1)[0]
    with service(
        lab.settings,
        lab.folder / "api.log",
        *("api", "--port", str(port)),
        RTMLOPS_MLFLOW_TRACKING_URI=lab.settings.mlflow_tracking_uri,
        RTMLOPS_API_TOKEN=TOKEN,
    ):
        wait_until(
            lambda: get_json(port, "/readyz")[0] == 200,
            timeout=60,
            every=0.2,
            what="the API is ready",
        )
        yield given(lab, f"http://127.0.0.1:{port}", TOKEN)


def given(lab: LoopLab, url: str, token: str) -> Settings:
    plain = lab.settings.model_dump() | {"api_url": url, "api_token": token}
    return Settings.model_validate(plain)


def ask(lab: LoopLab, settings: Settings, name: str | None = None) -> str:
    asker = RetrainAsker(settings, lab.store)
    return asker.ask(
        lab.spec, name or lab.name, reason="the error grew", change_point=START
    )


def test_through_the_api_one_is_queued_and_the_next_is_the_same(
    lab: LoopLab, api: Settings
) -> None:
    assert [ask(lab, api), ask(lab, api)] == ["queued", "open"]
    (job,) = lab.jobs()
    assert (job.model_name, job.trigger) == (lab.name, "error_alert")
    assert job.options == {"change_point": START.isoformat()}
    # The queue itself is the other way to it.
    assert ask(lab, lab.settings) == "open"
    taken = lab.store.retrain_jobs.take("w")
    assert taken is not None
    lab.store.retrain_jobs.finish(taken, "failed", "for the test")
    assert [ask(lab, api), ask(lab, lab.settings)] == ["cooldown", "cooldown"]


def test_a_wrong_token_is_said_and_nothing_is_queued(
    lab: LoopLab, api: Settings
) -> None:
    with pytest.raises(ConfigurationFault, match="401"):
        ask(lab, given(lab, str(api.api_url), "wrong"))
    assert lab.jobs() == []


def test_an_api_of_other_models_is_not_asked(lab: LoopLab, api: Settings) -> None:
    assert ask(lab, api, "ch99-datacenter-power_kw") == "queued"
    assert [job.model_name for job in lab.jobs()] == ["ch99-datacenter-power_kw"]


def test_an_api_that_is_away_does_not_stop_the_loop(lab: LoopLab) -> None:
    nobody = given(lab, f"http://127.0.0.1:{free_ports(1)[0]}", TOKEN)
    assert ask(lab, nobody) == "queued"
    assert ask(lab, given(lab, "http://127.0.0.1:9", TOKEN)) == "open"
