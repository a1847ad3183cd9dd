"""Journals on PostgreSQL servers: connections for queries beside the writer, and what errors mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, TypeVar

import psycopg

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import moves, reading
from foxapi_async.journal.backend import Backend
from foxapi_async.journal.entry import Entry, JournalStatus
from foxapi_async.journal.postgres.connection import (
    Address,
    configuration_error,
    create_or_upgrade,
    is_outage,
    is_restarting,
    version_of,
)
from foxapi_async.journal.postgres.database import PostgresDatabase
from foxapi_async.journal.postgres.health import ServerHealth, check
from foxapi_async.journal.postgres.tables import PostgresTables

_T = TypeVar("_T")

_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds between attempts of a query while the server is away; it blocks its thread meanwhile."""


class PostgresBackend(Backend):
    """A journal in one schema, which need not exist yet."""

    def __init__(self, dsn: str, name: str) -> None:
        self.address: Final = Address(dsn, name)
        self.label: str = self.address.label

    def connect(self) -> PostgresDatabase:
        began = time.monotonic()
        for pause in _PAUSES:
            try:
                return PostgresDatabase(self.address)
            except psycopg.Error as error:
                # Not a host that does not answer at all, which is an address that is wrong.
                if not is_restarting(error) or time.monotonic() - began > sum(_PAUSES):
                    raise
                time.sleep(pause)
        return PostgresDatabase(self.address)

    def explain(self, error: BaseException) -> ConfigurationError:
        return configuration_error(self.address, error)

    def is_failure(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.Error | OSError)

    def is_outage(self, error: BaseException) -> bool:
        return is_outage(error)

    def check(self) -> ServerHealth:
        """Find out whether the server can keep the promises of the journal, without a change."""
        try:
            return check(self.address)
        except (psycopg.Error, OSError) as error:
            raise self.explain(error) from error

    def read(self, statuses: Collection[JournalStatus] | None = None) -> Iterator[Entry]:
        with self._tables() as tables:
            if tables is not None:
                yield from reading.read(tables, statuses)

    def find(self, keys: Iterable[str]) -> Iterator[Entry]:
        wanted = list(keys)
        nothing: list[Entry] = []
        yield from self._ask(lambda tables: list(reading.find(tables, wanted)), nothing)

    def count(self) -> dict[JournalStatus, int]:
        return self._ask(reading.count, {})

    def images(self) -> tuple[int, int]:
        return self._ask(reading.images, (0, 0))

    def forget(self, key: str, only: Entry | None = None) -> list[Entry]:
        with self._tables(writes=True) as tables:
            return [] if tables is None else moves.forget(tables, key, only)

    def resolve(self, key: str, task_id: str) -> Entry:
        with self._tables(writes=True) as tables:
            if tables is None:
                raise moves.cannot_resolve(f"there is no {self.label}", "key", key)
            return moves.resolve(tables, key, task_id)

    def was_forgotten(self, key: str) -> bool:
        return self._ask(lambda tables: reading.was_forgotten(tables, key), False)  # noqa: FBT003

    def remembered(self, names: Sequence[str]) -> dict[str, str]:
        return self._ask(lambda tables: reading.remembered(tables, names), {})

    def is_blank(self) -> bool:
        return self._ask(reading.is_blank, True)  # noqa: FBT003

    def _ask(self, query: Callable[[PostgresTables], _T], empty: _T) -> _T:
        """Return the answer to a query, ``empty`` if there is no journal yet."""
        for pause in (*_PAUSES, None):
            try:
                with self._tables() as tables:
                    return empty if tables is None else query(tables)
            except ConfigurationError as error:
                if pause is None or error.__cause__ is None or not is_outage(error.__cause__):
                    raise
                time.sleep(pause)
        raise AssertionError

    @contextmanager
    def _tables(self, *, writes: bool = False) -> Generator[PostgresTables | None, None, None]:
        """Yield the tables, None if there are none; to write, in a transaction."""
        try:
            with closing(self.address.connect(writes=writes)) as connection:
                if not version_of(connection, self.address):
                    yield None
                elif writes:
                    create_or_upgrade(connection, self.address)
                    tables = PostgresTables(self.label, connection)
                    with tables.transaction():
                        yield tables
                else:
                    yield PostgresTables(self.label, connection)
        except (psycopg.Error, OSError) as error:
            raise self.explain(error) from error
