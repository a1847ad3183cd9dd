"""SQL: statements for many rows at once, and the queries that read the file beside its writers.

A statement is built once for each number of rows, by the cache here, and prepared once, by the cache
of sqlite3.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final

from foxapi_async.errors import ConfigurationError, InvalidRequestError
from foxapi_async.journal import owners
from foxapi_async.journal.connection import (
    open_to_read,
    open_to_write,
    transaction,
    translated_errors,
)
from foxapi_async.journal.entry import (
    AFTER_CRASH,
    COLUMNS,
    Entry,
    JournalStatus,
    bytes_of,
    entry_from_row,
    storable,
    text_of,
)

_PAGE: Final = 500
"""Entries in one query: a longer one would keep SQLite from merging its log into the file."""
_FORGOTTEN: Final = "forgotten "
"""Prefix of a key in the memory table."""

_BILLED: Final = (
    JournalStatus.FAILED,
    JournalStatus.ACCEPTED,
    JournalStatus.COMPLETED,
    JournalStatus.SAVED,
)
_PERHAPS: Final = (JournalStatus.UNKNOWN, JournalStatus.SENDING)
_REPLACED: Final[Mapping[JournalStatus, str]] = {
    JournalStatus.FAILED: "images of earlier tasks",
    JournalStatus.UNKNOWN: "images of earlier unknown submissions",
}
"""The names under which images of submissions are counted that have no entry any more."""

# The statements contain names of columns and placeholders only, no values.
# ruff: noqa: S608


@cache
def select_entries(rows: int) -> str:
    """Take keys; give `COLUMNS` and the owner."""
    return f"SELECT {COLUMNS}, owner FROM entries WHERE key IN ({_marks(rows)})"


@cache
def insert_entries(rows: int) -> str:
    """Take new entries."""
    columns = "key, status, owner, keyed, model, kind, path, payload, num_outputs, created, updated"
    return f"INSERT INTO entries ({columns}) VALUES {_values(rows, 11)}"


@cache
def delete_entries(rows: int) -> str:
    """Take keys, and the owner that they must have."""
    return f"DELETE FROM entries WHERE key IN ({_marks(rows)}) AND owner = ?"


@cache
def update_statuses(rows: int) -> str:
    """Take transitions, and the owner that all must have; skip entries in another status."""
    columns = "key was now at owner task_id estimated_time error_code error response"
    return (
        "UPDATE entries SET status = new.now, updated = new.at, owner = new.owner,"
        " task_id = new.task_id, estimated_time = new.estimated_time,"
        " submitted = iif(new.task_id IS NULL, NULL, new.at),"
        " error_code = new.error_code, error = new.error, response = new.response"
        f" FROM {_table(columns, rows)}"
        " WHERE entries.key = new.key AND +entries.status = new.was AND +entries.owner = ?"
    )


@cache
def update_ends(rows: int) -> str:
    """Take ends of tasks, and the status that their entries must have."""
    return (
        "UPDATE entries SET status = new.now, updated = new.at, error_code = new.error_code,"
        f" error = new.error FROM {_table('task_id now at error_code error', rows)}"
        " WHERE entries.task_id = new.task_id AND +entries.status = ?"
    )


@cache
def update_files(rows: int) -> str:
    """Take the new status, files of tasks, and the three statuses that their entries may have."""
    return (
        "UPDATE entries SET status = ?, files = new.files, updated = new.at"
        f" FROM {_table('task_id files at', rows)}"
        " WHERE entries.task_id = new.task_id AND +entries.status IN (?, ?, ?)"
    )


def _table(columns: str, rows: int) -> str:
    # Not a WITH before the UPDATE: sqlite3 would no longer count the changed rows. The plus signs
    # above keep SQLite from using the index on the status, which millions of entries share.
    names = columns.split()
    named = ", ".join(f"column{number} AS {name}" for number, name in enumerate(names, 1))
    return f"(SELECT {named} FROM (VALUES {_values(rows, len(names))})) AS new"


def _values(rows: int, width: int) -> str:
    return ",".join([f"({_marks(width)})"] * rows)


def _marks(number: int) -> str:
    return ",".join("?" * number)


def read(path: Path, statuses: Collection[JournalStatus] | None = None) -> Iterator[Entry]:
    """Yield the entries, oldest first, with at most one page of them in memory."""
    wanted = frozenset(JournalStatus if statuses is None else statuses)
    stored = wanted | {before for before, after in AFTER_CRASH.items() if after in wanted}
    condition = f"status IN ({_marks(len(stored))})" if statuses is not None else "1"
    query = (
        f"SELECT id, {COLUMNS}, owner FROM entries WHERE {condition} AND id > ?"
        f" ORDER BY id LIMIT {_PAGE}"
    )
    parameters = sorted(stored) if statuses is not None else []
    for connection in _open(path):
        last = 0
        while rows := _fetch(path, connection, query, [*parameters, last]):
            last = rows[-1][0]
            entries = (_entry_now(path, row[1:]) for row in rows)
            yield from (entry for entry in entries if entry.status in wanted)


def find(path: Path, keys: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries of those keys that have one, in no particular order."""
    names = [bytes_of(key) for key in keys]
    for connection in _open(path):
        for start in range(0, len(names), _PAGE):
            some = names[start : start + _PAGE]
            for row in _fetch(path, connection, select_entries(len(some)), some):
                yield _entry_now(path, row)


def count(path: Path) -> dict[JournalStatus, int]:
    """Return the number of entries of each status, as stored."""
    rows = _select(path, "SELECT status, count(*) FROM entries GROUP BY status")
    try:
        return {JournalStatus(status): number for status, number in rows}
    except ValueError as error:
        raise ConfigurationError(
            f"journal {str(path)!r}: an entry is damaged: another program has changed the file; "
            f"continue with a copy of the journal ({error})"
        ) from error


def images(path: Path) -> tuple[int, int]:
    """Return the images that all submissions have billed, and those that may be billed besides."""
    # Not sum(), which overflows.
    query = (
        "SELECT status, total(num_outputs) FROM entries GROUP BY status"
        " UNION ALL SELECT name, CAST(value AS INTEGER) FROM memory WHERE name IN (?, ?)"
    )
    counts = {name: int(number) for name, number in _select(path, query, [*_REPLACED.values()])}
    billed, unknown = (
        sum(counts.get(name, 0) for name in (*statuses, _REPLACED[statuses[0]]))
        for statuses in (_BILLED, _PERHAPS)
    )
    return billed, unknown


def count_replaced(entry: Entry, *, again: bool = False) -> tuple[str, tuple[object, ...]] | None:
    """Return the statement that counts the images of an entry that is replaced or removed.

    With ``again`` they are no longer counted, because the entry is restored. None if it billed nothing.
    """
    billed, perhaps = entry.status in _BILLED, entry.status in _PERHAPS
    if not billed and not perhaps:
        return None
    name = _REPLACED[JournalStatus.FAILED if billed else JournalStatus.UNKNOWN]
    statement = (
        "INSERT INTO memory (name, value, updated) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
        " SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER), updated = excluded.updated"
    )
    images = -entry.num_outputs if again else entry.num_outputs
    return statement, (name, str(images), time.time())


def forget(path: Path, key: str, only: Entry | None = None) -> list[Entry]:
    """Delete the entry of a key, if it is unchanged since ``only``; return what was deleted."""
    if not path.exists():
        return []
    with closing(open_to_write(path)) as file, translated_errors(path), transaction(file):
        row = file.execute(select_entries(1), (bytes_of(key),)).fetchone()
        if row is None:
            return []
        entry = _entry_now(path, row)
        if only is not None and not entry.is_unchanged_since(only):
            return []
        is_undecided = entry.status in {JournalStatus.PLANNED, JournalStatus.SENDING}
        if is_undecided and owners.is_alive(path, row[-1]):
            raise ConfigurationError(
                f"journal {str(path)!r}: the key {key!r} is being submitted right now; forget it "
                "after the submission has ended"
            )
        file.execute("DELETE FROM entries WHERE key = ?", (bytes_of(key),))
        if (counting := count_replaced(entry)) is not None:
            file.execute(*counting)
        file.execute(
            "INSERT OR REPLACE INTO memory (name, value, updated) VALUES (?, 'true', ?)",
            (_FORGOTTEN + storable(key), time.time()),
        )
        return [entry]


def resolve(path: Path, key: str, task_id: str) -> Entry:
    """Make an unknown entry accepted with the id of its task; return it."""
    if not path.exists():
        raise _cannot_resolve(f"there is no journal {str(path)!r}", "key", key)
    with closing(open_to_write(path)) as file, translated_errors(path), transaction(file):
        row = file.execute(select_entries(1), (bytes_of(key),)).fetchone()
        if row is None:
            raise _cannot_resolve(
                f"the journal {str(path)!r} has no entry of the key {key!r}", "key", key
            )
        entry = _entry_now(path, row)
        if entry.status is not JournalStatus.UNKNOWN:
            task = "" if entry.task_id is None else f", task {entry.task_id}"
            raise _cannot_resolve(
                f"the key {key!r} is {entry.status}{task}; only an unknown submission can be resolved",
                "key",
                key,
            )
        other = file.execute(
            "SELECT key FROM entries WHERE task_id = ? LIMIT 1", (task_id,)
        ).fetchone()
        if other is not None:
            raise _cannot_resolve(
                f"the task {task_id} belongs to the key {text_of(other[0])!r} already",
                "task_id",
                task_id,
            )
        file.execute(
            # Submitted when its POST ended, which is the last that is known of it.
            "UPDATE entries SET status = ?, task_id = ?, submitted = updated, updated = ?,"
            " owner = NULL, error_code = NULL, error = NULL, response = NULL WHERE key = ?",
            (JournalStatus.ACCEPTED, task_id, time.time(), bytes_of(key)),
        )
        return _entry_now(path, file.execute(select_entries(1), (bytes_of(key),)).fetchone())


def _cannot_resolve(reason: str, field: str, value: str) -> InvalidRequestError:
    return InvalidRequestError(f"{reason}; nothing was changed", field=field, value=value)


def was_forgotten(path: Path, key: str) -> bool:
    """Return whether a key was forgotten on purpose and not just never known."""
    return bool(_select(path, "SELECT 1 FROM memory WHERE name = ?", [_FORGOTTEN + storable(key)]))


def remembered(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the JSON of those values that are remembered, by name."""
    query = f"SELECT name, value FROM memory WHERE name IN ({_marks(len(names))})"
    return {name: str(value) for name, value in _select(path, query, list(names))}


def is_blank(path: Path) -> bool:
    """Return whether there has never been an entry."""
    query = (
        "SELECT 1 FROM entries UNION ALL SELECT 1 FROM memory WHERE name BETWEEN ? AND ? LIMIT 1"
    )
    return not _select(path, query, [_FORGOTTEN, _FORGOTTEN + "\U0010ffff"])


def _open(path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_to_read(path)
    if connection is not None:
        with closing(connection):
            yield connection


def _select(path: Path, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
    return [
        row for connection in _open(path) for row in _fetch(path, connection, query, parameters)
    ]


def _fetch(
    path: Path, connection: sqlite3.Connection, query: str, parameters: Sequence[Any]
) -> list[Any]:
    with translated_errors(path):
        return connection.execute(query, parameters).fetchall()


def _entry_now(path: Path, row: Sequence[Any]) -> Entry:
    try:
        entry = entry_from_row(row)
    except ConfigurationError as error:
        raise ConfigurationError(f"journal {str(path)!r}: {error}") from error.__cause__
    if entry.status in AFTER_CRASH and not owners.is_alive(path, row[-1]):
        return entry.after_crash()
    return entry
