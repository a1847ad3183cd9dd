"""The journal on a server, open for writing: one batch of operations is one transaction."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import errors, sql

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
    cut,
    durability_warnings,
)
from foxapi_async.journal.postgres.pooling import (
    backend_of,
    check_pooling,
    pooling_error,
)
from foxapi_async.journal.postgres.tables import PostgresTables

_log = logging.getLogger("foxapi_async.journal.server")

_T = TypeVar("_T")

_ATTEMPTS: Final = 5
"""Attempts to write a batch that the server ends in favour of another session's."""

_FORGET_BATCHES: Final = (
    "DELETE FROM memory WHERE name ~ '^batch of [0-9]+$'"
    " AND updated < extract(epoch FROM now()) - 7 * 86400"
)
"""By then no session has a batch whose commit it does not know of."""

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
        self._opening: Connection | None = None
        self._backend = 0
        self._batch_name: Final = f"batch of {self._owner}"
        self._batch_number = 0
        self._in_doubt: tuple[int, Sequence[Operation]] | None = None
        """The batch whose commit was not answered."""
        self._done: Final[set[Operation]] = set()
        """What it has written, if it was made all the same."""
        _open.add(self)
        connection = self._connected()
        try:
            for warning in durability_warnings(connection):
                _log.warning("%s: %s", address.label, warning)
            with self._tables.transaction():
                self._moves.recover_orphans()
                connection.execute(_FORGET_BATCHES)
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
        connection = self._opening or self._connection
        if connection is not None:
            cut(connection)

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
            self._resolve_doubt(connection)
            try:
                # Also if nothing is left: the commit without an answer may not be on a standby yet.
                self._commit(connection, [each for each in operations if each not in self._done])
            except (errors.DeadlockDetected, errors.SerializationFailure):
                # Another session claims the same keys in another order.
                if not attempts_left:
                    raise
            else:
                self._done.clear()
                return

    def _resolve_doubt(self, connection: Connection) -> None:
        """Find out whether the last commit was made, if only its answer was lost.

        Not with pg_xact_status: after a crash of the server or a failover, the number of a transaction
        that was lost is given to another one.
        """
        if self._in_doubt is not None:
            number, operations = self._in_doubt
            query = "SELECT value FROM memory WHERE name = %s"
            if connection.execute(query, (self._batch_name,)).fetchone() == (str(number),):
                self._done.update(operations)
            self._in_doubt = None

    def _commit(self, connection: Connection, operations: Sequence[Operation]) -> None:
        self._batch_number += 1
        try:
            self._tables.refresh()
            self._begin(connection)
            self._moves.execute(operations)
            self._in_doubt = self._batch_number, operations
            connection.execute("COMMIT", prepare=False)
            self._in_doubt = None
        except BaseException as error:
            if isinstance(error, errors.ReadOnlySqlTransaction):
                # The server has become a standby; another one of the address may be the primary.
                self._in_doubt = None
                close_quietly(connection)
            elif not connection.broken and not connection.closed:
                # The server has answered, so nothing is in doubt.
                self._in_doubt = None
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
            raise

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction that records its number, over the connection that holds the owner's lock."""
        # Statements in one round trip, which cannot have parameters.
        text = sql.SQL(
            "BEGIN; INSERT INTO {schema}.memory (name, value, updated)"
            " VALUES ({name}, {number}, extract(epoch FROM now()))"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated = excluded.updated"
            " RETURNING pg_backend_pid(), current_schema()::text"
        ).format(
            schema=sql.Identifier(self._address.schema),
            name=sql.Literal(self._batch_name),
            number=sql.Literal(str(self._batch_number)),
        )
        cursor = connection.execute(text, prepare=False)
        cursor.nextset()
        if cursor.fetchone() != (self._backend, self._address.schema):
            close_quietly(connection)
            raise pooling_error(self._address)

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
        self._opening = connection = self._address.connect(writes=True)
        try:
            create_or_upgrade(connection, self._address)
            check_pooling(connection, self._address)
            owners.lock(connection, self._owner)
            self._backend = backend_of(connection)
        except BaseException:
            close_quietly(connection)
            raise
        finally:
            self._opening = None
        self._tables = PostgresTables(self._address.label, connection)
        self._moves = Moves(self._tables, self._owner)
        self._connection = connection
        return connection
