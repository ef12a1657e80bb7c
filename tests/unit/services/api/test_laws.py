"""What the API's parts promise, without a server, a database or a registry."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from rtmlops_lib.errors import DependencyUnavailable, UsageError
from rtmlops_lib.services.api import ApiContext, create_app
from rtmlops_lib.services.api.credentials import SESSION_SECONDS, Credentials
from rtmlops_lib.services.api.grafana import GrafanaNotification, storable
from rtmlops_lib.services.api.middleware import Gate
from rtmlops_lib.services.api.page import htmx_script
from rtmlops_lib.services.api.rendering import render
from rtmlops_lib.services.api.workers import Workers
from rtmlops_lib.settings import Settings
from rtmlops_lib.streams import builtin_specs

TOKEN = "a-token-for-tests-only"
CREDENTIALS = Credentials(TOKEN)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.text() | st.just(TOKEN))
def test_only_the_token_is_the_token(given_: str) -> None:
    assert CREDENTIALS.is_token(given_) == (given_ == TOKEN)


@given(st.text())
def test_no_text_is_a_session_or_a_note(text: str) -> None:
    assert CREDENTIALS.session_name(text) is None
    assert CREDENTIALS.note(text) == ""


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    session = CREDENTIALS.new_session()
    assert CREDENTIALS.session_name(session) is not None
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + SESSION_SECONDS + 2)
    assert CREDENTIALS.session_name(session) is None


def test_another_token_ends_all_sessions_and_restarts_end_none() -> None:
    session = CREDENTIALS.new_session()
    assert Credentials(TOKEN).session_name(session) is not None
    assert Credentials(TOKEN + "x").session_name(session) is None


def test_a_note_is_no_session() -> None:
    assert CREDENTIALS.session_name(CREDENTIALS.sign_note("x")) is None
    assert CREDENTIALS.note(CREDENTIALS.new_session()) == ""


@pytest.mark.parametrize("token", [None, "", "short", "x" * 15, "é" * 20, "\t" * 20])
def test_a_token_that_can_be_guessed_is_refused(token: str | None) -> None:
    with pytest.raises(UsageError, match="RTMLOPS_API_TOKEN|without a token"):
        Credentials.of_settings(Settings(api_token=token))  # type: ignore[arg-type]


@given(anything)
def test_whatever_is_made_storable_is(value: object) -> None:
    text = json.dumps(storable(value), allow_nan=False)
    assert "\\u0000" not in text
    assert json.loads(text) == storable(value)
    text.encode()


@given(
    st.lists(
        st.fixed_dictionaries(
            {"status": st.sampled_from(["firing", "resolved"])},
            optional={
                "labels": st.dictionaries(st.text(), st.text()),
                "annotations": st.dictionaries(st.text(), st.text()),
                "values": st.none() | st.dictionaries(st.text(), anything),
                "fingerprint": st.text(),
                "surprise": anything,
            },
        )
    )
)
def test_every_notification_becomes_alerts(alerts: list[dict[str, object]]) -> None:
    notification = GrafanaNotification.model_validate({"alerts": alerts})
    for one in notification.alerts:
        alert = one.to_alert()
        assert alert.key and alert.kind and alert.message
        assert "\x00" not in alert.key + alert.kind + alert.message
        json.dumps(dict(alert.detail), allow_nan=False)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    settings = Settings(api_token=TOKEN)  # type: ignore[arg-type]
    return create_app(ApiContext.of_settings(settings, builtin_specs().values()))


def test_whatever_route_is_added_needs_the_token(app: FastAPI) -> None:
    async def ask() -> dict[tuple[str, str], int]:
        transport = httpx.ASGITransport(app=app)
        found = {}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://x"
        ) as client:
            for path, methods in app.openapi()["paths"].items():
                for method in methods:
                    answer = await client.request(method.upper(), path)
                    found[method, path] = answer.status_code
        return found

    for (_, path), status in asyncio.run(ask()).items():
        if path not in Gate.OPEN:
            assert status == 401, path


def test_the_schema_says_which_calls_need_the_token(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for operation in methods.values():
            assert bool(operation["security"]) == (path not in Gate.OPEN)
            assert operation["description"], path
            problems = {"401", "422", "503"} & operation["responses"].keys()
            assert problems or path in Gate.OPEN


@given(st.text())
def test_what_a_page_says_is_escaped(text: str) -> None:
    page = render("refused.html", text=f"<script>{text}</script>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_stuck_calls_hold_up_no_others_beyond_their_time() -> None:
    release = threading.Event()

    async def trial() -> list[object]:
        workers = Workers("the database", at_once=2, seconds=0.3)
        stuck = [workers.run(lambda: release.wait(20)) for _ in range(5)]
        begun = time.monotonic()
        found = await asyncio.gather(*stuck, return_exceptions=True)
        assert time.monotonic() - begun < 5
        release.set()
        # Their places are free again once they have come to their own end.
        for _ in range(100):
            try:
                found.append(await workers.run(lambda: "fine"))
                break
            except DependencyUnavailable:
                await asyncio.sleep(0.05)
        return found

    *stuck, last = asyncio.run(trial())
    assert all(isinstance(error, DependencyUnavailable) for error in stuck)
    assert last == "fine"


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(Workers("x", at_once=1, seconds=5).run(fail))


def test_htmx_is_there_without_django() -> None:
    script = htmx_script().decode()
    assert 'version:"2.' in script
    assert "django" not in sys.modules


def test_pages_render_without_anything_to_show() -> None:
    from rtmlops_lib.services.api.overview import Seen

    seen = Seen(now=datetime.now(UTC))
    page = render("control.html", seen=seen, note="", form_token="x")
    assert "None was asked for yet" in page
