"""Looking into the journal's file, beside whoever is writing it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import owners, queries
from foxapi_async.journal.entry import COLUMNS, Entry, bytes_of, entry_from_row
from foxapi_async.journal.file_errors import FILE_TROUBLE, configuration_error
from foxapi_async.journal.operations import storable
from foxapi_async.journal.schema import open_to_read, open_to_write
from foxapi_async.journal.transitions import AFTER_A_CRASH, JournalStatus

__all__ = ["count", "find", "forget", "is_blank", "read", "was_forgotten"]

_PAGE: Final = 500
"""Entries in one query: a longer look would keep the log from being folded into the file."""


def read(path: Path, statuses: Collection[JournalStatus] | None = None) -> Iterator[Entry]:
    """Yield the entries, oldest first, holding no more than a page of them."""
    wanted = frozenset(JournalStatus if statuses is None else statuses)
    stored = wanted | {before for before, after in AFTER_A_CRASH.items() if after in wanted}
    condition = f"status IN ({','.join('?' * len(stored))})" if statuses is not None else "1"
    query = (
        f"SELECT id, {COLUMNS}, owner FROM entries WHERE {condition} AND id > ?"  # noqa: S608
        f" ORDER BY id LIMIT {_PAGE}"
    )
    parameters = sorted(stored) if statuses is not None else []
    for connection in _opened(path):
        last = 0
        while rows := _rows(path, connection, query, [*parameters, last]):
            last = rows[-1][0]
            entries = (_as_of_now(path, row[1:]) for row in rows)
            yield from (entry for entry in entries if entry.status in wanted)


def find(path: Path, keys: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries of those keys that have one, in no particular order."""
    names = [bytes_of(key) for key in keys]
    for connection in _opened(path):
        for start in range(0, len(names), _PAGE):
            some = names[start : start + _PAGE]
            for row in _rows(path, connection, queries.select(len(some)), some):
                yield _as_of_now(path, row)


def count(path: Path) -> dict[JournalStatus, int]:
    """Return how many entries there are of each status, as stored."""
    for connection in _opened(path):
        query = "SELECT status, count(*) FROM entries GROUP BY status"
        try:
            return {JournalStatus(row[0]): row[1] for row in _rows(path, connection, query, [])}
        except ValueError as error:
            raise ConfigurationError(
                f"journal {str(path)!r}: an entry is damaged, something else has written to the file; "
                f"go on with a copy of it ({error})"
            ) from error
    return {}


def forget(path: Path, key: str, only: Entry | None = None) -> list[Entry]:
    """Remove the entry of a key, if it stands as ``only`` does; return it, if that was so.

    Raises:
        ConfigurationError: A living process is submitting it right now.
    """
    if not path.exists():
        return []
    with closing(open_to_write(path)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(queries.select(1), (bytes_of(key),)).fetchone()
            if row is None:
                return []
            entry = _as_of_now(path, row)
            if only is not None and not entry.stands_as(only):
                return []
            if entry.status in _UNDECIDED and owners.is_alive(path, row[-1]):
                raise ConfigurationError(
                    f"journal {str(path)!r}: {key!r} is being submitted right now; it can be "
                    "forgotten once that is decided"
                )
            connection.execute("DELETE FROM entries WHERE key = ?", (bytes_of(key),))
            connection.execute(
                "INSERT OR REPLACE INTO memory (name, value, updated) VALUES (?, 'true', ?)",
                (_FORGOTTEN + storable(key), time.time()),
            )
            connection.execute("COMMIT")
        except FILE_TROUBLE as error:
            raise configuration_error(path, error) from error
    return [entry]


def was_forgotten(path: Path, key: str) -> bool:
    """Return whether a key was forgotten by somebody's decision, rather than never known."""
    for connection in _opened(path):
        query = "SELECT 1 FROM memory WHERE name = ?"
        return bool(_rows(path, connection, query, [_FORGOTTEN + storable(key)]))
    return False


def is_blank(path: Path) -> bool:
    """Return whether there has never been an entry."""
    for connection in _opened(path):
        query = (
            "SELECT EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM memory WHERE name"
            " BETWEEN ? AND ?)"
        )
        return not _rows(path, connection, query, [_FORGOTTEN, _FORGOTTEN + "\U0010ffff"])[0][0]
    return True


_FORGOTTEN: Final = "forgotten "
"""Before the key, in the memory of the journal."""

_UNDECIDED: Final = frozenset({JournalStatus.PLANNED, JournalStatus.SENDING})


def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the connection, or nothing if there is no file."""
    connection = open_to_read(path)
    if connection is not None:
        with closing(connection):
            yield connection


def _rows(
    path: Path, connection: sqlite3.Connection, query: str, parameters: Sequence[Any]
) -> list[Any]:
    try:
        return connection.execute(query, parameters).fetchall()
    except sqlite3.Error as error:
        raise configuration_error(path, error) from error


def _as_of_now(path: Path, row: Sequence[Any]) -> Entry:
    try:
        entry = entry_from_row(row)
    except ConfigurationError as error:
        raise ConfigurationError(f"journal {str(path)!r}: {error}") from error.__cause__
    if entry.status in AFTER_A_CRASH and not owners.is_alive(path, row[-1]):
        return entry.with_status(AFTER_A_CRASH[entry.status])
    return entry
