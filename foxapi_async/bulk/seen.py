"""What has been seen in a file of any length, in a temporary database: the memory stays small.

SQLite keeps an unnamed database in memory up to its cache and beyond that in a file that is gone
when it is closed. Blocking; used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Final, Self

from foxapi_async.errors import ConfigurationError

__all__ = ["Seen", "temporary_database"]

_CACHE: Final = 4096
"""KiB that such a database takes in memory at most."""


def temporary_database(*statements: str) -> sqlite3.Connection:
    """Open a private database that vanishes when it is closed, and run these statements.

    Raises:
        ConfigurationError: There is no room for temporary files.
    """
    try:
        connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{_CACHE}",
            *statements,
            "BEGIN",
        ):
            connection.execute(statement)
    except sqlite3.Error as error:
        raise no_room(error) from error
    return connection


def no_room(error: sqlite3.Error) -> ConfigurationError:
    """Return the error for a temporary database that cannot grow."""
    return ConfigurationError(
        f"a temporary file could not be written ({error}); free some space in the folder for "
        "temporary files, or name another one with TMPDIR"
    )


class Seen:
    """Counts equal contents and finds keys that come twice; use it with ``with``."""

    def __init__(self) -> None:
        self._database = temporary_database(
            "CREATE TABLE contents (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID",
            "CREATE TABLE keys (digest BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._database.close()

    def ordinal(self, content: bytes) -> int:
        """Return how often this content has been seen, this time included."""
        run = self._database.execute
        try:
            new = run("INSERT OR IGNORE INTO contents VALUES (?, 1)", (content,))
            if new.rowcount:
                return 1
            run("UPDATE contents SET times = times + 1 WHERE digest = ?", (content,))
            row = run("SELECT times FROM contents WHERE digest = ?", (content,)).fetchone()
        except sqlite3.Error as error:
            raise no_room(error) from error
        return int(row[0])

    def line_of(self, key: bytes, line: int) -> int | None:
        """Return the earlier line that has this key; None if there is none, and keep this one."""
        run = self._database.execute
        try:
            if run("INSERT OR IGNORE INTO keys VALUES (?, ?)", (key, line)).rowcount:
                return None
            row = run("SELECT line FROM keys WHERE digest = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise no_room(error) from error
        return int(row[0])
