"""A connection that opens when needed and ends every call by its deadline."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NoReturn

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from rtmlops_lib.logs import get_logger
from rtmlops_lib.store.contract import StoreUnavailable
from rtmlops_lib.store.postgres.session import Session
from rtmlops_lib.store.postgres.sqlstate import translate
from rtmlops_lib.store.postgres.watchdog import Watchdog

__all__ = ["Connection"]

log = get_logger(__name__)
_watchdog = Watchdog()

_CLIENT = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# What lets the server drop the locks of a client that vanished; only where known.
_SERVER = """
    SELECT set_config(s.name, v.value, false)
    FROM (VALUES ('TimeZone', 'UTC'), ('DateStyle', 'ISO'),
                 ('idle_in_transaction_session_timeout', '60s'),
                 ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'),
                 ('tcp_keepalives_count', '3'),
                 ('client_connection_check_interval', '5s')) AS v(name, value)
    JOIN pg_catalog.pg_settings AS s ON s.name = v.name
    WHERE v.name <> 'client_connection_check_interval' OR version() ~* 'linux';
    SELECT pid, backend_start FROM pg_catalog.pg_stat_activity
    WHERE pid = pg_backend_pid()
"""
# Where a network in between keeps the other half of a broken connection alive, its
# server process waits for the rest of a COPY and holds our rows. A process id alone
# may be another's by now.
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE pid = %s AND backend_start = %s
"""


class Connection:
    """One connection to PostgreSQL, used by one thread at a time.

    Parameters
    ----------
    dsn : str
        URL or key=value string; what it says itself is kept.
    application_name : str
        How ``pg_stat_activity`` shows us.

    Notes
    -----
    Nothing is opened before the first ``within``; a connection that broke is
    replaced by the next one. Statements run in autocommit: transactions are opened
    by ``BEGIN`` in the text, which saves a round trip.
    """

    def __init__(self, dsn: str, *, application_name: str = "rtmlops") -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._lock = threading.RLock()
        self._raw: psycopg2.extensions.connection | None = None
        self._sock: socket.socket | None = None
        # Process id and start of the server's process, of this connection and of the
        # last one that broke.
        self._backend: tuple[int, datetime] | None = None
        self._former: tuple[int, datetime] | None = None
        self._memo: dict[Any, Any] = {}

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[Session]:
        """Yield a session; everything done with it ends ``seconds`` from now.

        On leaving, no transaction is open. Errors of the driver leave as ours.

        Raises
        ------
        StoreUnavailable, ConfigurationFault
            By SQLSTATE; see ``sqlstate.translate``.
        """
        deadline = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise StoreUnavailable("another call holds the database connection")
        try:
            raw, sock = self._open(deadline)
            alarm = _watchdog.arm(deadline, sock)
            try:
                session = Session(raw, deadline, self._memo, self._reopener(deadline))
                yield session
            except psycopg2.Error as error:
                self._fail(error, alarm.fired, seconds)
            finally:
                self._tidy()
                alarm.cancel()
                if alarm.fired:
                    self._discard()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close; twice is fine, and a later call opens it again."""
        with self._lock:
            self._discard()
            self._former = None

    def _reopener(self, deadline: float) -> Any:
        @contextlib.contextmanager
        def reopened() -> Iterator[Session]:
            self._discard()
            raw, sock = self._open(deadline)
            with _watchdog.arm(deadline, sock):
                yield Session(raw, deadline, self._memo, None)

        return reopened

    def _fail(self, error: psycopg2.Error, fired: bool, seconds: float) -> NoReturn:
        if fired:
            raise StoreUnavailable(
                f"the database did not answer within {seconds:g} s",
                remedy="the call may be repeated",
            ) from error
        raise translate(error) from error

    def _open(
        self, deadline: float
    ) -> tuple[psycopg2.extensions.connection, socket.socket]:
        if self._raw is not None and self._raw.closed:
            self._discard()
        if self._raw is None:
            raw = self._connect(deadline)
            try:
                self._sock = socket.socket(fileno=os.dup(raw.fileno()))
                with _watchdog.arm(deadline, self._sock), raw.cursor() as cursor:
                    raw.autocommit = True
                    cursor.execute(_SERVER)
                    self._backend = cursor.fetchone()
                    self._end_former(cursor)
            except psycopg2.Error as error:
                raw.close()
                self._discard()
                raise translate(error) from error
            self._raw = raw
            log.info("database_connected", host=raw.info.host, port=raw.info.port)
        if self._sock is None:  # pragma: no cover - set together with _raw
            raise StoreUnavailable("the connection has no socket")
        return self._raw, self._sock

    def _end_former(self, cursor: psycopg2.extensions.cursor) -> None:
        if self._former is None:
            return
        try:
            cursor.execute(_END, self._former)
        except psycopg2.errors.InsufficientPrivilege as error:
            log.warning("former_connection_left", error=" ".join(str(error).split()))
        else:
            if cursor.rowcount:
                log.warning("former_connection_ended", pid=self._former[0])
        self._former = None

    def _connect(self, deadline: float) -> psycopg2.extensions.connection:
        # On a thread of its own: neither name resolution nor a server behind a dead
        # network heeds connect_timeout for all of a host's addresses together.
        result: list[Any] = []
        abandoned = threading.Event()

        def connect() -> None:
            try:
                given = psycopg2.extensions.parse_dsn(self._dsn)
                extra: dict[str, Any] = {
                    k: v for k, v in _CLIENT.items() if k not in given
                }
                extra.setdefault("application_name", self._application_name)
                raw = psycopg2.connect(self._dsn, **extra)
            except BaseException as error:
                result.append(error)
                return
            if abandoned.is_set():
                raw.close()
            result.append(raw)

        thread = threading.Thread(target=connect, name="store-connect", daemon=True)
        thread.start()
        thread.join(max(0.05, deadline - time.monotonic()))
        if not result:
            abandoned.set()
            raise StoreUnavailable(
                "the database did not accept a connection in time",
                remedy="check RTMLOPS_DATABASE_URL and 'rtmlops doctor'",
            )
        if isinstance(result[0], psycopg2.Error):
            raise translate(result[0]) from result[0]
        if isinstance(result[0], BaseException):
            raise result[0]
        connection: psycopg2.extensions.connection = result[0]
        return connection

    def _tidy(self) -> None:
        if self._raw is None:
            return
        if not self._raw.closed:
            if self._raw.info.transaction_status == TRANSACTION_STATUS_IDLE:
                return
            with contextlib.suppress(psycopg2.Error), self._raw.cursor() as cursor:
                cursor.execute("ROLLBACK")
                return
        self._discard()

    def _discard(self) -> None:
        self._memo.clear()
        if self._backend is not None:
            self._former, self._backend = self._backend, None
        raw, self._raw = self._raw, None
        sock, self._sock = self._sock, None
        if sock is not None:
            # Shut down first: close() on a stalled TLS connection would say goodbye.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if raw is not None:
            with contextlib.suppress(psycopg2.Error):
                raw.close()
