"""What an SQLSTATE means, as the contract lists it."""

from __future__ import annotations

import psycopg2
import pytest

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store import StoreUnavailable
from rtmlops_lib.store.postgres.sqlstate import Fault, classify, fault_of, translate

TABLE = {
    Fault.DUPLICATE: ["23505"],
    Fault.ROW: ["22001", "22003", "22008", "22021", "22P02", "22P05", "23502"]
    + ["23503", "23514", "23P01", "54000", "54001"],
    Fault.MEMORY: ["53200"],
    Fault.CONFIGURATION: ["28000", "28P01", "3D000", "3F000", "42P01", "42501"]
    + ["42703", "0A000"],
    Fault.TRANSIENT: ["40001", "40P01", "57014", "57P01", "57P03", "53100", "53300"]
    + ["08006", "25006", "XX000", "58030", "55P03", "TS000", "", None],
}


@pytest.mark.parametrize(
    ("code", "fault"),
    [(code, fault) for fault, codes in TABLE.items() for code in codes],
)
def test_every_code_has_one_meaning(code: str | None, fault: Fault) -> None:
    assert classify(code) is fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('FATAL:  password authentication failed for user "x"', Fault.CONFIGURATION),
        ('FATAL:  database "nowhere" does not exist', Fault.CONFIGURATION),
        ('FATAL:  role "nobody" does not exist', Fault.CONFIGURATION),
        ("FATAL:  no pg_hba.conf entry for host", Fault.CONFIGURATION),
        ("connection refused", Fault.TRANSIENT),
        ("server closed the connection unexpectedly", Fault.TRANSIENT),
        ("FATAL:  the database system is starting up", Fault.TRANSIENT),
        ("could not translate host name", Fault.TRANSIENT),
    ],
)
def test_a_failed_login_is_told_by_its_text(text: str, fault: Fault) -> None:
    assert fault_of(psycopg2.OperationalError(text)) is fault


def test_our_errors_carry_a_remedy() -> None:
    unavailable = translate(psycopg2.OperationalError("gone"))
    refused = translate(psycopg2.OperationalError('database "x" does not exist'))
    assert isinstance(unavailable, StoreUnavailable) and unavailable.remedy
    assert isinstance(refused, ConfigurationFault) and refused.remedy
