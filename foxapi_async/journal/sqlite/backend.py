"""Journals in SQLite files: connections for queries beside the writer, and what errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import moves, reading
from foxapi_async.journal.backend import Backend
from foxapi_async.journal.entry import Entry, JournalStatus
from foxapi_async.journal.sqlite.connection import (
    configuration_error,
    label_of,
    open_to_read,
    open_to_write,
    translated_errors,
)
from foxapi_async.journal.sqlite.database import SqliteDatabase
from foxapi_async.journal.sqlite.tables import SqliteTables


class SqliteBackend(Backend):
    """A journal in one file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.label: str = label_of(path)

    def connect(self) -> SqliteDatabase:
        return SqliteDatabase(self.path)

    def explain(self, error: BaseException) -> ConfigurationError:
        return configuration_error(self.path, error)

    def is_failure(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error | OSError)

    def read(self, statuses: Collection[JournalStatus] | None = None) -> Iterator[Entry]:
        with self._readable() as tables:
            if tables is not None:
                yield from reading.read(tables, statuses)

    def find(self, keys: Iterable[str]) -> Iterator[Entry]:
        with self._readable() as tables:
            if tables is not None:
                yield from reading.find(tables, keys)

    def count(self) -> dict[JournalStatus, int]:
        with self._readable() as tables:
            return {} if tables is None else reading.count(tables)

    def images(self) -> tuple[int, int]:
        with self._readable() as tables:
            return (0, 0) if tables is None else reading.images(tables)

    def forget(self, key: str, only: Entry | None = None) -> list[Entry]:
        if not self.path.exists():
            return []
        with self._writable() as tables:
            return moves.forget(tables, key, only)

    def resolve(self, key: str, task_id: str) -> Entry:
        if not self.path.exists():
            raise moves.cannot_resolve(f"there is no {self.label}", "key", key)
        with self._writable() as tables:
            return moves.resolve(tables, key, task_id)

    def was_forgotten(self, key: str) -> bool:
        with self._readable() as tables:
            return tables is not None and reading.was_forgotten(tables, key)

    def remembered(self, names: Sequence[str]) -> dict[str, str]:
        with self._readable() as tables:
            return {} if tables is None else reading.remembered(tables, names)

    def is_blank(self) -> bool:
        with self._readable() as tables:
            return tables is None or reading.is_blank(tables)

    @contextmanager
    def _readable(self) -> Generator[SqliteTables | None, None, None]:
        """Yield the tables, None if there is no file."""
        connection = open_to_read(self.path)
        if connection is None:
            yield None
            return
        with closing(connection), translated_errors(self.path):
            yield SqliteTables(self.path, connection)

    @contextmanager
    def _writable(self) -> Generator[SqliteTables, None, None]:
        with closing(open_to_write(self.path)) as connection, translated_errors(self.path):
            tables = SqliteTables(self.path, connection)
            with tables.transaction():
                yield tables
