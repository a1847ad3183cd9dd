"""The journal on a server, open for writing: one batch of operations is one transaction."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import errors

from foxapi_async.journal import reading
from foxapi_async.journal.entry import Entry
from foxapi_async.journal.moves import Moves
from foxapi_async.journal.operations import Operation
from foxapi_async.journal.postgres import owners
from foxapi_async.journal.postgres.connection import (
    Address,
    Connection,
    close_quietly,
    create_or_upgrade,
    durability_warnings,
)
from foxapi_async.journal.postgres.tables import PostgresTables

_log = logging.getLogger("foxapi_async.journal.server")

_T = TypeVar("_T")

_ATTEMPTS: Final = 5
"""Attempts to write a batch that the server ends in favour of another session's."""

_open: Final[WeakSet[PostgresDatabase]] = WeakSet()


def _release_after_fork() -> None:
    # A forked child has a copy of each socket, which would keep the lock of a dead parent. The number
    # stays in use, because libpq closes it later.
    for database in _open:
        database.release_socket()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_after_fork)


class PostgresDatabase:
    """The journal, open for writing by one owner; used in one thread.

    The connection holds the lock of the owner. When it is lost, the next call makes another one.
    """

    def __init__(self, address: Address) -> None:
        self._address: Final = address
        self._owner: Final = owners.new_owner()
        self._process: Final = os.getpid()
        self._connection: Connection | None = None
        self._in_doubt: tuple[str, Sequence[Operation]] | None = None
        _open.add(self)
        connection = self._connected()
        try:
            for warning in durability_warnings(connection):
                _log.warning("%s: %s", address.label, warning)
            with self._tables.transaction():
                self._moves.recover_orphans()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, so that other owners may claim the entries of this one."""
        if self._process == os.getpid():
            connection, self._connection = self._connection, None
            close_quietly(connection)

    def cut(self) -> None:
        """Make a call fail that hangs in the other thread; any thread may call this."""
        with suppress(psycopg.Error, OSError):
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)

    def release_socket(self) -> None:
        """Let go of a copy of the connection that a fork has made."""
        with suppress(psycopg.Error, OSError):
            if self._connection is not None:
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, self._connection.fileno())
                os.close(nothing)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Execute all operations durably, or raise and execute none; set ``error`` of refused ones."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            connection = self._connected()
            if self._is_committed(connection, operations):
                return
            try:
                self._commit(connection, operations)
            except (errors.DeadlockDetected, errors.SerializationFailure):
                # Another session claims the same keys in another order.
                if not attempts_left:
                    raise
            else:
                return

    def _is_committed(self, connection: Connection, operations: Sequence[Operation]) -> bool:
        """Return whether the last attempt was made durable, and only the answer was lost."""
        if self._in_doubt is None or self._in_doubt[1] != operations:
            return False
        transaction, self._in_doubt = self._in_doubt[0], None
        query = "SELECT pg_xact_status(%s::text::xid8)"
        return connection.execute(query, (transaction,)).fetchone() == ("committed",)

    def _commit(self, connection: Connection, operations: Sequence[Operation]) -> None:
        try:
            self._tables.refresh()
            # Two statements in one round trip.
            cursor = connection.execute("BEGIN; SELECT pg_current_xact_id()::text")
            cursor.nextset()
            row = cursor.fetchone()
            assert row is not None
            self._moves.execute(operations)
            self._in_doubt = row[0], operations
            connection.execute("COMMIT")
            self._in_doubt = None
        except BaseException:
            if not connection.broken and not connection.closed:
                # The server has answered, so nothing is in doubt.
                self._in_doubt = None
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
            raise

    def recall(self, name: str) -> str | None:
        """Return the JSON of a remembered value."""
        return self._read(lambda tables: reading.remembered(tables, [name]).get(name))

    def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        return self._read(lambda tables: reading.has_task(tables, task_id))

    def entries(self, keys: Sequence[str]) -> list[Entry]:
        """Return the entries of those keys that have one."""
        return self._read(lambda tables: list(reading.find(tables, keys)))

    def _read(self, query: Callable[[PostgresTables], _T]) -> _T:
        self._connected()
        self._tables.refresh()
        return query(self._tables)

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None and not connection.closed and not connection.broken:
            return connection
        close_quietly(connection)
        self._connection = None
        connection = self._address.connect(writes=True)
        try:
            create_or_upgrade(connection, self._address)
            owners.lock(connection, self._owner)
        except BaseException:
            close_quietly(connection)
            raise
        self._tables = PostgresTables(self._address.label, connection)
        self._moves = Moves(self._tables, self._owner)
        self._connection = connection
        return connection
