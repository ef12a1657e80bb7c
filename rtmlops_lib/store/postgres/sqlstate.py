"""What a database error means for the rows in hand."""

from __future__ import annotations

import re
from enum import StrEnum

import psycopg2

from rtmlops_lib.errors import ConfigurationFault, RtmlopsError
from rtmlops_lib.store.contract import BatchTooLarge, StoreUnavailable

__all__ = ["Fault", "classify", "fault_of", "translate"]


class Fault(StrEnum):
    """The five things an error can mean."""

    DUPLICATE = "duplicate"  # the identity is stored already
    ROW = "row"  # a row that no retry will make acceptable
    MEMORY = "memory"  # less at once may do
    CONFIGURATION = "configuration"  # a human is needed
    TRANSIENT = "transient"  # the same again, later


_CONFIGURATION = ("28", "3D", "3F", "42", "0A")
# Errors while connecting carry no SQLSTATE in libpq's interface: only text tells.
_REFUSED_LOGIN = re.compile(
    r"password authentication failed|no pg_hba\.conf entry|no password supplied"
    r"|(?:database|role) \"[^\"]*\" does not exist|permission denied for database"
    r"|is not permitted to log in|authentication failed for user"
    r"|could not translate host name \"\"|certificate verify failed"
    r"|server does not support SSL|invalid (?:dsn|connection option|port number)",
    re.IGNORECASE,
)
_REMEDIES = {
    "28": "check user and password in RTMLOPS_DATABASE_URL",
    "3D": "create the database, or correct RTMLOPS_DATABASE_URL",
    "3F": "run 'rtmlops db migrate', with the same --stream and --schema",
    "42P01": "run 'rtmlops db migrate', with the same --stream and --schema",
    "42703": "run 'rtmlops db migrate'; the table lacks a column of the stream",
    "42501": "grant the user rights on the schema and its tables",
}


def classify(sqlstate: str | None) -> Fault:
    """Return what an SQLSTATE means; the driver's exception classes do not tell.

    Examples
    --------
    >>> classify("23505"), classify("23514"), classify("42P01"), classify(None)
    (<Fault.DUPLICATE: 'duplicate'>, <Fault.ROW: 'row'>, \
<Fault.CONFIGURATION: 'configuration'>, <Fault.TRANSIENT: 'transient'>)
    """
    if not sqlstate:
        return Fault.TRANSIENT
    if sqlstate == "23505":
        return Fault.DUPLICATE
    if sqlstate == "53200":
        return Fault.MEMORY
    if sqlstate.startswith(("22", "23", "54")):
        return Fault.ROW
    if sqlstate.startswith(_CONFIGURATION):
        return Fault.CONFIGURATION
    return Fault.TRANSIENT


def fault_of(error: psycopg2.Error) -> Fault:
    """Return what an error of the driver means."""
    if error.pgcode is None and _REFUSED_LOGIN.search(str(error)):
        return Fault.CONFIGURATION
    return classify(error.pgcode)


def translate(error: psycopg2.Error) -> RtmlopsError:
    """Return our error for one of the driver's that concerns no single row."""
    code = error.pgcode
    # The first line says it; the rest repeats our statement.
    said = (error.diag.message_primary if code else None) or str(error)
    text = " ".join(said.split()) or type(error).__name__
    fault = fault_of(error)
    if fault is Fault.MEMORY:
        return BatchTooLarge(
            f"the database has no memory for so much at once: {text} ({code})",
            remedy="raise max_locks_per_transaction or the database's memory",
        )
    if fault is Fault.TRANSIENT:
        if code is None:
            return StoreUnavailable(
                f"the database does not answer: {text}",
                remedy="check that it runs ('rtmlops doctor') and is where "
                "RTMLOPS_DATABASE_URL says ('rtmlops config')",
            )
        return StoreUnavailable(
            f"the database did not finish: {text} ({code})",
            remedy="see 'rtmlops doctor'; the call may be repeated",
        )
    return ConfigurationFault(
        f"the database refuses: {text}" + (f" ({code})" if code else ""),
        remedy=_remedy(code, text),
    )


def _remedy(code: str | None, text: str) -> str:
    if code is None:
        if "database" in text and "does not exist" in text:
            return _REMEDIES["3D"]
        if "invalid" in text:
            return "write RTMLOPS_DATABASE_URL as postgresql://user:password@host:5432/name"
        return _REMEDIES["28"]
    return (
        _REMEDIES.get(code)
        or _REMEDIES.get(code[:2])
        or "correct the database or the settings"
    )
