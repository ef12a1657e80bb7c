"""What the database at hand can do."""

from __future__ import annotations

from dataclasses import dataclass

from rtmlops_lib.store.postgres.session import Session

__all__ = ["Capabilities", "capabilities"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Facts about one database.

    ``timescale_schema`` is where the extension's functions are, or None where there
    is no extension or only its Apache-licensed part, which lacks compression and
    continuous aggregates: such a database is treated as plain PostgreSQL.
    """

    server_version: int
    timescale_version: str | None
    timescale_license: str | None
    timescale_schema: str | None


def capabilities(session: Session) -> Capabilities:
    """Ask once a connection."""
    if "capabilities" not in session.memo:
        found = session.rows(
            "SELECT e.extversion, current_setting('timescaledb.license', true), "
            "n.nspname FROM pg_catalog.pg_extension AS e "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace "
            "WHERE e.extname = 'timescaledb'"
        )
        version, license_, schema = found[0] if found else (None, None, None)
        session.memo["capabilities"] = Capabilities(
            server_version=session.raw.server_version,
            timescale_version=version,
            timescale_license=license_,
            timescale_schema=schema if license_ == "timescale" else None,
        )
    known: Capabilities = session.memo["capabilities"]
    return known
