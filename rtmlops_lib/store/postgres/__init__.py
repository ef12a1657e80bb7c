"""The store on PostgreSQL, plain or with TimescaleDB."""

from rtmlops_lib.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
