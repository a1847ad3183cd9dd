"""The rows of the journal in a SQLite file.

A statement is built once for each number of rows, by the cache here, and prepared once, by the cache
of sqlite3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from foxapi_async.journal.entry import COLUMNS, JournalStatus
from foxapi_async.journal.operations import NewEntry, RecordEnd, RecordFiles, Transition
from foxapi_async.journal.sqlite import owners
from foxapi_async.journal.sqlite.connection import label_of, transaction
from foxapi_async.journal.tables import Row, Tables

_MAX_ROWS: Final = 100
"""Rows in one statement: far below SQLite's limit of parameters, and few statements to prepare."""

# The statements contain names of columns and placeholders only, no values.
# ruff: noqa: S608

_flat = chain.from_iterable

_T = TypeVar("_T")


class SqliteTables(Tables):
    """The tables of a file, over one connection to it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.label: str = label_of(path)
        self._path: Final = path
        self._connection: Final = connection

    def transaction(self) -> AbstractContextManager[object]:
        return transaction(self._connection)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(statement, parameters).fetchall()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self._connection.execute(statement, parameters).rowcount

    def select(self, keys: Sequence[bytes]) -> list[Row]:
        rows: list[Row] = []
        for some in _chunks(keys):
            rows += self.query(_select_entries(len(some)), some)
        return rows

    def insert(self, entries: Sequence[NewEntry], owner: str) -> set[bytes]:
        for some in _chunks(entries):
            rows = [
                (
                    *(new.key, JournalStatus.PLANNED, owner, new.keyed, new.model),
                    *(new.kind, new.path, new.payload, new.num_outputs, new.at, new.at),
                )
                for new in some
            ]
            self.execute(_insert_entries(len(some)), [*_flat(rows)])
        return {new.key for new in entries}

    def change(self, transitions: Sequence[Transition], owner: str) -> int:
        changed = 0
        for some in _chunks(transitions):
            rows = [
                (
                    *(each.new.key, each.before, each.after, each.at),
                    *(self.owner_after(each, owner), each.task_id),
                    *(each.estimated_time, each.error_code, each.text, each.response),
                )
                for each in some
            ]
            changed += self.execute(_update_statuses(len(some)), [*_flat(rows), owner])
        return changed

    def update(self, key: bytes, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
        columns = ", ".join(f"{name} = ?" for name in values)
        tests = "".join(f" AND {name} IS ?" for name in conditions)
        parameters = [*values.values(), key, *conditions.values()]
        return self.execute(f"UPDATE entries SET {columns} WHERE key = ?{tests}", parameters) == 1

    def remove(self, key: bytes, conditions: Mapping[str, Any]) -> bool:
        tests = "".join(f" AND {name} IS ?" for name in conditions)
        parameters = [key, *conditions.values()]
        return self.execute(f"DELETE FROM entries WHERE key = ?{tests}", parameters) == 1

    def delete(self, keys: Sequence[bytes], owner: str) -> None:
        for some in _chunks(keys):
            marks = _marks(len(some))
            statement = f"DELETE FROM entries WHERE key IN ({marks}) AND owner = ?"
            self.execute(statement, [*some, owner])

    def record_ends(self, ends: Sequence[RecordEnd]) -> None:
        for some in _chunks(ends):
            rows = [(end.task_id, end.after, end.at, end.error_code, end.text) for end in some]
            self.execute(_update_ends(len(some)), [*_flat(rows), JournalStatus.ACCEPTED])

    def record_files(self, files: Sequence[RecordFiles]) -> None:
        for some in _chunks(files):
            rows = [(saved.task_id, saved.files, saved.at) for saved in some]
            # A task with files has completed, whether or not its end was recorded.
            before = (JournalStatus.ACCEPTED, JournalStatus.COMPLETED, JournalStatus.SAVED)
            parameters = [JournalStatus.SAVED, *_flat(rows), *before]
            self.execute(_update_files(len(some)), parameters)

    def is_alive(self, owner: str | None) -> bool:
        return owners.is_alive(self._path, owner)


@cache
def _select_entries(rows: int) -> str:
    """Take keys; give `COLUMNS` and the owner."""
    return f"SELECT {COLUMNS}, owner FROM entries WHERE key IN ({_marks(rows)})"


@cache
def _insert_entries(rows: int) -> str:
    """Take new entries."""
    columns = "key, status, owner, keyed, model, kind, path, payload, num_outputs, created, updated"
    return f"INSERT INTO entries ({columns}) VALUES {_values(rows, 11)}"


@cache
def _update_statuses(rows: int) -> str:
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
def _update_ends(rows: int) -> str:
    """Take ends of tasks, and the status that their entries must have."""
    return (
        "UPDATE entries SET status = new.now, updated = new.at, error_code = new.error_code,"
        f" error = new.error FROM {_table('task_id now at error_code error', rows)}"
        " WHERE entries.task_id = new.task_id AND +entries.status = ?"
    )


@cache
def _update_files(rows: int) -> str:
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


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _MAX_ROWS):
        yield items[start : start + _MAX_ROWS]
