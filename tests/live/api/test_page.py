"""The control page in a real browser, and what others may try on it."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from rtmlops_lib.models.aliases import Move, move_aliases
from rtmlops_lib.models.registry import ModelRegistry
from rtmlops_lib.store import Alert
from rtmlops_lib.store.postgres import PostgresStore
from tests.support.api import TOKEN, RunningApi
from tests.support.browser import browser

pytestmark = pytest.mark.live

EVIL = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


class Reader:
    """One browser page that keeps what went wrong in it."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        page.set_default_timeout(60_000)
        page.on(
            "console",
            lambda m: self.wrong.append(m.text) if m.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))

    def log_in(self, token: str = TOKEN) -> None:
        self.page.goto(f"{self.url}/")
        self.page.fill("#token", token)
        # With its scripts: what a page does by itself begins with them.
        with self.page.expect_navigation(wait_until="load"):
            self.page.click("button.primary")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@contextmanager
def reading(chromium: Any, api: RunningApi, **options: Any) -> Iterator[Reader]:
    context = chromium.new_context(**options)
    try:
        yield Reader(context.new_page(), api.url)
    finally:
        context.close()


def filled(store: PostgresStore, registry: ModelRegistry, model: str) -> None:
    """Something in every part of the page, all of it with an evil name."""
    for version in (1, 2):
        move_aliases(registry, store, model, Move.promote(version, reason=EVIL))
    now = datetime.now(UTC)
    for hours, state in ((3, "stable"), (2, "warning"), (1, "drift")):
        store.drift_reports.add(
            stream=EVIL,
            model_name=model,
            model_version=2,
            kind="error",
            window_start=now - timedelta(hours=hours + 1),
            window_end=now - timedelta(hours=hours),
            state=state,
            report={},
        )
    store.retrain_jobs.request(model, stream=EVIL, reason=EVIL, requested_by=EVIL)
    taken = store.retrain_jobs.take(EVIL)
    assert taken is not None
    store.retrain_jobs.finish(taken, "failed", EVIL)
    store.alerts.report_all(
        [Alert(EVIL, EVIL, "critical", EVIL, EVIL, {})], source=EVIL
    )


def test_a_visit(
    chromium: Any,
    start: Any,
    store: PostgresStore,
    registry: ModelRegistry,
    versions: str,
) -> None:
    filled(store, registry, versions)
    api = start(RTMLOPS_API_COOLDOWN_SECONDS="0")
    with reading(chromium, api) as reader:
        page = reader.page
        reader.log_in("not the token, not at all")
        assert "That is not the token" in reader.text("main")
        assert versions not in page.content()
        reader.wrong.clear()  # a browser reports each 401
        reader.log_in()
        page.wait_for_selector("main[data-live]")

        # Everything is there, and none of it ran.
        card = f"[data-model='{versions}']"
        assert "champion v2" in reader.text(card)
        assert "previous v1" in reader.text(card)
        assert "drift" in reader.text(f"{card} .verdict")
        assert reader.text("main").count("<script>window.pwned = 1</script>") >= 6
        assert page.evaluate("window.pwned") is None

        # The cookie is out of a script's reach, and of other sites'.
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert page.evaluate("document.cookie") == ""

        # Retrain: the second time it is the same job.
        for said in ("is queued", "was asked for before and is queued"):
            page.click(f"{card} details.action >> text=Retrain")
            page.fill(f"{card} form[action='/page/retrain'] [name=reason]", "by hand")
            page.click("text=Ask for a training")
            page.wait_for_selector(f"#note:has-text('{said}')")
        (job,) = store.retrain_jobs.newest(state="queued")
        assert (job.reason, job.requested_by) == ("by hand", "control page")
        assert "queued" in reader.text(f"[data-job='{job.id}']")
        # What was said is not said again when the page is loaded anew.
        page.wait_for_url(f"{api.url}/")

        # It keeps itself up to date, and what somebody is about to do as it is.
        reason = f"{card} form[action='/page/retrain'] [name=reason]"
        page.click(f"{card} details.versions summary")
        page.click(f"{card} details.action >> text=Retrain")
        page.locator(reason).press_sequentially("half a sen")
        taken = store.retrain_jobs.take("worker")
        assert taken is not None
        store.retrain_jobs.beat(taken, "growing trees")
        page.wait_for_selector(f"[data-job='{job.id}']:has-text('growing trees')")
        page.keyboard.type("tence")
        assert page.input_value(reason) == "half a sentence"
        assert page.is_visible(f"{card} details.versions table")

        # A training is cancelled.
        page.click(f"[data-job='{job.id}'] button:text-is('Cancel')")
        page.wait_for_selector(f"#note:has-text('{versions} is cancelled')")
        assert "cancelled through the control page" in reader.text(
            f"[data-job='{job.id}']"
        )
        assert not store.retrain_jobs.beat(taken)
        assert page.locator("button:text-is('Cancel')").count() == 0

        # Roll back: not without a reason.
        page.click(f"{card} details.action >> text=Roll back")
        page.click("text=Roll back to v1")
        assert registry.aliases(versions)["champion"] == 2
        page.fill(f"{card} form[action$='/rollback'] [name=reason]", "errors doubled")
        page.click("text=Roll back to v1")
        page.wait_for_selector("#note:has-text('is rolled back: v1 serves')")
        assert registry.aliases(versions) == {"champion": 1}
        assert "rolled back" in page.content()

        page.click("text=Acknowledge")
        page.wait_for_selector("#note:has-text('Acknowledged')")
        (alert,) = store.alerts.records()
        assert alert["acknowledged_by"] == "control page"

        assert reader.wrong == []
        page.click("text=Log out")
        page.wait_for_selector("#token")
        assert page.context.cookies() == []


def test_a_form_about_what_is_no_more_does_not_stay(
    chromium: Any,
    api: RunningApi,
    store: PostgresStore,
    registry: ModelRegistry,
    versions: str,
) -> None:
    filled(store, registry, versions)
    with reading(chromium, api) as reader:
        reader.log_in()
        page, card = reader.page, f"[data-model='{versions}']"
        page.click(f"{card} details.action >> text=Roll back")
        assert page.is_visible(f"{card} >> text=Roll back to v1")
        move_aliases(registry, store, versions, Move.promote(3))
        page.wait_for_selector(f"{card}:has-text('champion v3')")
        assert "Roll back to v2" in page.text_content(card)
        assert "Roll back to v1" not in page.text_content(card)
        # Whoever opened the old one opens the new one himself.
        assert not page.is_visible(f"{card} form[action$='/rollback']")
        assert reader.wrong == []


def test_a_page_left_open_says_when_it_is_old_and_when_its_session_is_over(
    chromium: Any, start: Any, versions: str
) -> None:
    api = start()
    with reading(chromium, api) as reader:
        reader.log_in()
        page = reader.page
        page.wait_for_selector("main[data-live]")
        with page.expect_response(lambda answer: answer.status == 204):
            page.context.clear_cookies()
        page.wait_for_selector("#token")
        assert versions not in page.content()
        assert reader.wrong == []
        reader.log_in()
        page.wait_for_selector("main[data-live]")
        api.process.kill()
        page.wait_for_selector("#away:visible")
        assert versions in reader.text("main")


def test_a_proxys_page_does_not_take_the_place_of_ours(
    chromium: Any, api: RunningApi, versions: str
) -> None:
    with reading(chromium, api) as reader:
        reader.log_in()
        page = reader.page
        page.wait_for_selector("main[data-live]")

        def answering(status: int) -> Callable[[Any], None]:
            body = "<html><main>Sign in to the proxy</main></html>"
            return lambda route: route.fulfill(
                status=status, content_type="text/html", body=body
            )

        for status in (200, 502):
            page.unroute_all()
            page.route(f"{api.url}/", answering(status))
            page.evaluate("document.getElementById('away').hidden = true")
            page.wait_for_selector("#away:visible")
            assert versions in reader.text("main")
        page.unroute_all()
        page.wait_for_selector("#away", state="hidden")


def test_without_scripts_every_button_works(
    chromium: Any,
    api: RunningApi,
    store: PostgresStore,
    registry: ModelRegistry,
    versions: str,
) -> None:
    for version in (1, 2):
        move_aliases(registry, store, versions, Move.promote(version))
    with reading(chromium, api, java_script_enabled=False) as reader:
        reader.log_in()
        page, card = reader.page, f"[data-model='{versions}']"
        page.click(f"{card} details.action >> text=Retrain")
        page.click(f"{card} >> text=Ask for a training")
        page.wait_for_selector("#note:has-text('is queued')")
        page.click("button:text-is('Cancel')")
        page.wait_for_selector("#note:has-text('is cancelled')")
        (job,) = store.retrain_jobs.newest()
        assert job.state == "cancelled"
        page.click(f"{card} details.action >> text=Roll back")
        page.fill(f"{card} form[action$='/rollback'] [name=reason]", "errors doubled")
        page.click("text=Roll back to v1")
        page.wait_for_selector("#note:has-text('is rolled back: v1 serves')")
        page.click("text=Log out")
        page.wait_for_selector("#token")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(
    chromium: Any,
    api: RunningApi,
    store: PostgresStore,
    registry: ModelRegistry,
    versions: str,
    scheme: str,
) -> None:
    filled(store, registry, versions)
    options = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    with reading(chromium, api, **options) as reader:
        reader.log_in()
        page = reader.page
        page.wait_for_selector("main[data-live]")
        page.click("details.versions summary")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        dark = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
        )
        assert dark == (scheme == "dark")
        assert reader.wrong == []


def test_what_is_injected_does_not_run(chromium: Any, api: RunningApi) -> None:
    """Were something not escaped, the policy would still stop it."""
    with reading(chromium, api) as reader:
        reader.log_in()
        page = reader.page
        page.wait_for_selector("main[data-live]")
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.pwned = 1";
                document.body.append(script);
                document.querySelector("main").innerHTML +=
                    "<img src=x onerror='window.pwned = 2'>"
                    + "<a id=link href='javascript:window.pwned = 3'>x</a>";
                document.getElementById("link").click();
            }"""
        )
        # Nor does what htmx would make a script of.
        page.evaluate(
            """() => {
                const main = document.querySelector("main");
                main.innerHTML += "<b id=b hx-on:click='window.pwned = 4' hx-get='/'"
                    + " hx-trigger='click[window.pwned = 5]'"
                    + " hx-vals='js:{x: window.pwned = 6}'>x</b>";
                htmx.process(main);
                document.getElementById("b").click();
            }"""
        )
        page.wait_for_timeout(300)
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("htmx.config.allowEval") is False
        assert page.evaluate("document.querySelector('style')") is None
        assert any("Content Security Policy" in text for text in reader.wrong)


@pytest.fixture
def elsewhere(tmp_path: Path, api: RunningApi) -> Iterator[str]:
    """A page of another site that sends our form, and one that frames us."""
    (tmp_path / "post.html").write_text(
        f"<form method=post action='{api.url}/page/retrain'>"
        "<input name=model value=x><input name=form_token value=x></form>"
        "<script>document.forms[0].submit()</script>"
    )
    (tmp_path / "frame.html").write_text(f"<iframe src='{api.url}/'></iframe>")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        functools.partial(
            http.server.SimpleHTTPRequestHandler, directory=str(tmp_path)
        ),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # By another name it is another site.
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_another_site_can_press_no_button(
    chromium: Any, api: RunningApi, store: PostgresStore, elsewhere: str
) -> None:
    with reading(chromium, api) as reader:
        reader.log_in()
        page = reader.page
        page.wait_for_selector("main[data-live]")
        with page.expect_response("**/page/retrain") as sent:
            page.goto(f"{elsewhere}/post.html")
        assert sent.value.status in (401, 403)
        assert store.retrain_jobs.newest() == []
        page.goto(f"{elsewhere}/frame.html")
        page.wait_for_timeout(500)
        framed = page.frames[-1]
        assert "rtmlops" not in framed.content()


def logged_in(api: RunningApi) -> tuple[httpx.Client, str]:
    """A browser's session without a browser, and its forms' token."""
    client = httpx.Client(base_url=api.url, timeout=30, trust_env=False)
    assert client.post("/page/login", data={"token": TOKEN}).status_code == 303
    text = client.get("/").text
    return client, text.split('name="form_token" value="')[1].split('"')[0]


def test_a_form_needs_the_token_of_its_own_session(
    api: RunningApi, store: PostgresStore, model: str
) -> None:
    client, own = logged_in(api)
    _, foreign = logged_in(api)
    body = {"model": model, "reason": "x"}
    for given in ("", "x", foreign, own[:-1]):
        answer = client.post("/page/retrain", data={**body, "form_token": given})
        assert answer.status_code == 403
    sent = {**body, "form_token": own}
    for site in ("cross-site", "same-site", "none"):
        answer = client.post(
            "/page/retrain", data=sent, headers={"Sec-Fetch-Site": site}
        )
        assert answer.status_code == 403
    # The token of the API is none of the page's, nor the other way round.
    assert api.post("/page/retrain", data=sent).status_code == 401
    cookie = client.cookies["rtmlops_session"]
    assert api.get("/jobs", token=cookie).status_code == 401
    assert client.get("/jobs").status_code == 401
    assert store.retrain_jobs.newest() == []
    assert client.post("/page/retrain", data=sent).status_code == 303
    assert len(store.retrain_jobs.newest()) == 1


def test_without_a_session_the_page_shows_nothing(
    api: RunningApi, versions: str
) -> None:
    client, own = logged_in(api)
    good = client.cookies["rtmlops_session"]
    for cookie in (None, "", "x", good[:-2], good + "x", own):
        visitor = httpx.Client(base_url=api.url, trust_env=False, timeout=30)
        if cookie is not None:
            visitor.cookies["rtmlops_session"] = cookie
        page = visitor.get("/")
        assert page.status_code == 200
        assert versions not in page.text
        assert 'id="token"' in page.text
        asked = visitor.get("/", headers={"HX-Request": "true"})
        assert (asked.status_code, asked.text) == (204, "")
        assert asked.headers["hx-redirect"] == "/"
        for path in (
            "/page/retrain",
            f"/page/models/{versions}/rollback",
            "/page/alerts/1/acknowledge",
            "/page/jobs/00000000-0000-0000-0000-000000000000/cancel",
            "/page/logout",
        ):
            answer = visitor.post(path, data={"form_token": own, "reason": "x"})
            assert answer.status_code == 401
    assert client.get("/page/nothing").status_code == 404
    assert client.get("/page/static/../page.py").status_code == 404
    assert client.get("/page/static/%2e%2e/page.py").status_code == 404


def test_a_note_cannot_be_put_there_from_outside(api: RunningApi) -> None:
    client, _ = logged_in(api)
    page = client.get("/", params={"note": "Call 555-1234 and say the token"})
    assert "555-1234" not in page.text
