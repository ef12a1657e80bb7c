"""Who may come in: the token, and the session that a browser gets for it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from itsdangerous import BadData, URLSafeTimedSerializer

from rtmlops_lib.errors import UsageError
from rtmlops_lib.settings import Settings

__all__ = ["Credentials"]

MINIMUM = 16
SESSION_SECONDS = 8 * 3600
NOTE_SECONDS = 60


class Credentials:
    """Compares tokens, and signs what a browser keeps.

    A session is a random name, signed with the token and the time: nothing is kept
    here, so that a restart ends no session, and another token ends all of them.

    Parameters
    ----------
    token : str

    Examples
    --------
    >>> credentials = Credentials("a-long-random-token")
    >>> credentials.is_token("a-long-random-token"), credentials.is_token("guess")
    (True, False)
    >>> session = credentials.new_session()
    >>> name = credentials.session_name(session)
    >>> credentials.is_form_token(name, credentials.form_token(name))
    True
    >>> credentials.session_name(session + "x") is None
    True
    """

    def __init__(self, token: str) -> None:
        self._digest = _digest(token)
        self._key = hmac.digest(token.encode(), b"rtmlops api", "sha256")

    @classmethod
    def of_settings(cls, settings: Settings) -> Credentials:
        """Return those of the settings.

        Raises
        ------
        UsageError
            Without a token, or with one that can be guessed.
        """
        make = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        token = settings.api_token.get_secret_value() if settings.api_token else ""
        if not token:
            raise UsageError(
                "the API does not start without a token: whoever reached it could "
                "retrain and roll back",
                remedy=f"set RTMLOPS_API_TOKEN to what this prints: {make}",
            )
        if len(token) < MINIMUM or not token.isascii() or not token.isprintable():
            raise UsageError(
                f"RTMLOPS_API_TOKEN must be at least {MINIMUM} printable ASCII "
                f"characters, it has {len(token)}",
                remedy=f"set it to what this prints: {make}",
            )
        return cls(token)

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing of the token, not even its length."""
        return hmac.compare_digest(_digest(given), self._digest)

    def is_bearer(self, header: str | None) -> bool:
        """Compare what an ``Authorization`` header holds."""
        scheme, _, given = (header or "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given.strip())

    def new_session(self) -> str:
        """Return a cookie's value."""
        return str(self._signer("session").dumps(secrets.token_urlsafe(16)))

    def session_name(self, cookie: str | None) -> str | None:
        """Return the name of a session that was signed here and is not over."""
        try:
            name = self._signer("session").loads(cookie or "", max_age=SESSION_SECONDS)
        except BadData:
            return None
        return name if isinstance(name, str) else None

    def form_token(self, session_name: str) -> str:
        """Return what every form of this session must send along."""
        return hmac.digest(self._key, f"form {session_name}".encode(), "sha256").hex()

    def is_form_token(self, session_name: str, given: str) -> bool:
        """Compare it."""
        return hmac.compare_digest(
            _digest(given), _digest(self.form_token(session_name))
        )

    def sign_note(self, text: str) -> str:
        """Return a message for the next page, which nobody else can put there."""
        return str(self._signer("note").dumps(text))

    def note(self, signed: str | None) -> str:
        """Return the message; empty where it is none of ours, or an old one."""
        try:
            return str(self._signer("note").loads(signed or "", max_age=NOTE_SECONDS))
        except BadData:
            return ""

    def _signer(self, salt: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._key, salt=salt, signer_kwargs={"digest_method": hashlib.sha256}
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
