"""The statements that change many entries at once, by the number of rows that they take.

A statement is prepared once for each number of rows, by sqlite3's own cache, and its text is put
together once, by the cache here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from foxapi_async.journal.entry import COLUMNS

__all__ = ["delete", "end", "insert", "move", "save", "select"]

# What looks like text from outside in these statements is marks and names of columns.


@cache
def select(rows: int) -> str:
    """Take keys; give their entries, and the owner after the columns of an entry."""
    return f"SELECT {COLUMNS}, owner FROM entries WHERE key IN ({_marks(rows)})"  # noqa: S608


@cache
def insert(rows: int) -> str:
    """Take new entries."""
    columns = "key, status, owner, keyed, model, kind, path, payload, num_outputs, created, updated"
    return f"INSERT INTO entries ({columns}) VALUES {_rows(rows, 11)}"  # noqa: S608


@cache
def delete(rows: int) -> str:
    """Take keys, and the owner that they must have."""
    return f"DELETE FROM entries WHERE key IN ({_marks(rows)}) AND owner = ?"  # noqa: S608


@cache
def move(rows: int) -> str:
    """Take moves, and the owner of all; an entry that is not where its move starts stays there."""
    return (
        "UPDATE entries SET status = moves.now, updated = moves.at, owner = moves.owner,"  # noqa: S608
        " task_id = moves.task_id, estimated_time = moves.estimated_time,"
        " submitted = iif(moves.task_id IS NULL, NULL, moves.at),"
        " error_code = moves.error_code, error = moves.error"
        f" FROM {_table('moves', _MOVE, rows)}"
        " WHERE entries.key = moves.key AND +entries.status = moves.was AND +entries.owner = ?"
    )


@cache
def end(rows: int) -> str:
    """Take ends of tasks, and the status that they must have."""
    return (
        "UPDATE entries SET status = ends.now, updated = ends.at,"  # noqa: S608
        " error_code = ends.error_code, error = ends.error"
        f" FROM {_table('ends', _END, rows)}"
        " WHERE entries.task_id = ends.task_id AND +entries.status = ?"
    )


@cache
def save(rows: int) -> str:
    """Take the new status, files of tasks, and the three statuses of which they must have one."""
    return (
        "UPDATE entries SET status = ?, files = saves.files, updated = saves.at"  # noqa: S608
        f" FROM {_table('saves', _SAVE, rows)}"
        " WHERE entries.task_id = saves.task_id AND +entries.status IN (?, ?, ?)"
    )


_MOVE: Final = (
    *("key", "was", "now", "at", "owner", "task_id", "estimated_time"),
    *("error_code", "error"),
)
_END: Final = ("task_id", "now", "at", "error_code", "error")
_SAVE: Final = ("task_id", "files", "at")


def _table(name: str, columns: Sequence[str], rows: int) -> str:
    # Not a WITH before the UPDATE: sqlite3 would no longer count the rows that it changes. The plus
    # signs above keep SQLite from looking entries up by their status, of which there are millions.
    names = ", ".join(f"column{number} AS {column}" for number, column in enumerate(columns, 1))
    return f"(SELECT {names} FROM (VALUES {_rows(rows, len(columns))})) AS {name}"  # noqa: S608


def _rows(rows: int, width: int) -> str:
    return ",".join([f"({_marks(width)})"] * rows)


def _marks(number: int) -> str:
    return ",".join("?" * number)
