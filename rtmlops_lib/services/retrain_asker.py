"""Asks for a training: through the API where there is one, else in the queue."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

from rtmlops_lib.errors import ConfigurationFault, DependencyUnavailable
from rtmlops_lib.logs import get_logger
from rtmlops_lib.settings import Settings
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.streams import StreamSpec

__all__ = ["RetrainAsker"]

log = get_logger(__name__)

TIMEOUT_SECONDS = 10.0
REQUESTED_BY = "monitor"
TRIGGER = "error_alert"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect an error: the token is for nobody else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nowhere."""


# No proxy either: HTTP_PROXY is for what lies outside.
_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


class RetrainAsker:
    """The monitor's way to a new model; both ways share one single flight.

    Parameters
    ----------
    settings : Settings
        ``api_url`` and ``api_token`` lead to the API; the cooldown is the API's.
    store : PostgresStore
    """

    def __init__(self, settings: Settings, store: PostgresStore) -> None:
        self._settings = settings
        self._store = store
        self._served: frozenset[str] = frozenset()

    def ask(
        self,
        spec: StreamSpec,
        model_name: str,
        *,
        reason: str,
        change_point: datetime | None,
    ) -> str:
        """Ask once.

        Returns
        -------
        str
            ``queued``, ``open`` (one is under way) or ``cooldown``.

        Raises
        ------
        DependencyUnavailable
            When neither API nor database answers; ask again later.
        ConfigurationFault
            When the API does not take the token or the request.
        """
        if self._settings.api_url:
            try:
                if self._serves(model_name):
                    return self._through_api(spec, reason, change_point)
            except ConfigurationFault:
                raise
            except DependencyUnavailable as error:
                # The queue is the same, and a grown error does not wait for a page.
                log.warning("api_away", error=str(error))
        options = (
            {} if change_point is None else {"change_point": change_point.isoformat()}
        )
        job, wait = self._store.retrain_jobs.request(
            model_name,
            stream=spec.name,
            kind="power",
            trigger=TRIGGER,
            reason=reason,
            requested_by=REQUESTED_BY,
            options=options,
            cooldown_seconds=self._settings.api_cooldown_seconds,
        )
        if job is None:
            return "cooldown"
        return "open" if wait < 0 else "queued"

    def _serves(self, model_name: str) -> bool:
        """Return whether the API's model of a stream is ours: prefixes may differ."""
        if model_name not in self._served:
            _, answer = self._call("GET", "models", None)
            found = [str(model.get("name")) for model in answer.get("models", [])]
            self._served = frozenset(found)
            if model_name not in found:
                log.warning("api_of_other_models", model=model_name, serves=found)
        return model_name in self._served

    def _through_api(
        self, spec: StreamSpec, reason: str, change_point: datetime | None
    ) -> str:
        body = {
            "stream": spec.name,
            "kind": "power",
            "trigger": TRIGGER,
            "reason": reason[:500],
            "requested_by": REQUESTED_BY,
            "change_point": None if change_point is None else change_point.isoformat(),
        }
        status, _ = self._call("POST", "retrain", body)
        return {202: "queued", 200: "open"}.get(status, "cooldown")

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        """Return the API's status and answer; 429 is an answer."""
        address = f"{(self._settings.api_url or '').rstrip('/')}/{path}"
        if not address.startswith(("http://", "https://")):
            raise ConfigurationFault(
                f"RTMLOPS_API_URL {self._settings.api_url!r} is no web address",
                remedy="write it as http://127.0.0.1:8000",
            )
        token = self._settings.api_token
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            address,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {token.get_secret_value() if token else ''}",
            },
        )
        try:
            with _STRAIGHT.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(500).decode(errors="replace")
            if error.code == 429:
                return error.code, {}
            if error.code >= 500:
                raise DependencyUnavailable(
                    f"the retraining API answers {error.code}: {said}"
                ) from error
            raise ConfigurationFault(
                f"the retraining API answers {error.code}: {said}",
                remedy="check RTMLOPS_API_TOKEN, and that API and monitor know the "
                "same streams",
            ) from error
        except (OSError, ValueError) as error:
            raise DependencyUnavailable(
                f"the retraining API at {address} does not answer: {error}",
                remedy="check RTMLOPS_API_URL, and whether it runs",
            ) from error
