"""The store that the settings name."""

from __future__ import annotations

from rtmlops_lib.settings import Settings
from rtmlops_lib.store.postgres import PostgresStore
from rtmlops_lib.store.postgres.book_retention import BookRetention

__all__ = ["open_store"]


def open_store(
    settings: Settings,
    *,
    application_name: str = "rtmlops",
    book_seconds: float = 15.0,
) -> PostgresStore:
    """Return the store of the settings; nothing is connected yet."""
    return PostgresStore(
        settings.database_url.get_secret_value(),
        schema=settings.database_schema,
        application_name=application_name,
        book_seconds=book_seconds,
        keep=BookRetention(
            drift_reports=settings.keep_drift_reports_days or None,
            alerts=settings.keep_alerts_days or None,
            anomaly_events=settings.keep_anomaly_events_days or None,
        ),
    )
