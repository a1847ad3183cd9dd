"""Indexes that need little memory, however long the indexed file is. Blocking, for one thread at a time.

SQLite keeps an unnamed database in memory up to the size of its cache, and beyond that in a file that
is deleted when the database is closed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final, Self

from foxapi_async import ConfigurationError

_CACHE: Final = 4096  # KiB of memory that such a database takes at most


def temporary_database(*statements: str) -> sqlite3.Connection:
    """Open a temporary database and execute these statements; raise `index_error` if that fails."""
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
        raise index_error(error) from error
    return connection


def index_error(error: sqlite3.Error) -> ConfigurationError:
    """Return the error for a temporary database that cannot be written."""
    return ConfigurationError(
        f"cannot write a temporary file ({error}); free some space in the directory for temporary "
        "files, or set TMPDIR to another directory"
    )


def key_digest(key: str) -> bytes:
    """Return what represents a key in an index."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Duplicates:
    """Numbers equal contents and finds keys that occur twice; a context manager."""

    def __init__(self) -> None:
        self._database = temporary_database(
            "CREATE TABLE contents (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID",
            "CREATE TABLE keys (digest BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def count(self, content: bytes) -> int:
        """Count a content and return how often it has occurred, this time included."""
        if self._execute("INSERT OR IGNORE INTO contents VALUES (?, 1)", content).rowcount:
            return 1
        self._execute("UPDATE contents SET times = times + 1 WHERE digest = ?", content)
        select = "SELECT times FROM contents WHERE digest = ?"
        return int(self._execute(select, content).fetchone()[0])

    def earlier_line(self, key: str, line: int) -> int | None:
        """Return the earlier line that has this key; without one, record this line and return None."""
        digest = key_digest(key)
        if self._execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", digest, line).rowcount:
            return None
        return int(self._execute("SELECT line FROM keys WHERE digest = ?", digest).fetchone()[0])

    def _execute(self, statement: str, *parameters: bytes | int) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, parameters)
        except sqlite3.Error as error:
            raise index_error(error) from error
