"""The file: its tables, its versions, and how it is opened.

Version 1 of the tables is the first that was released. A later one adds its step to `_STEPS`; an
older file is brought up to date, in one transaction, by the first process that opens it to write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal.file_errors import FILE_TROUBLE, configuration_error

__all__ = ["PATIENCE", "open_to_read", "open_to_write"]

PATIENCE: Final = 10.0
"""Seconds to wait for another process that holds the lock; each holds it for milliseconds."""

_APPLICATION_ID: Final = 0x466F784A
"""Marks the file as a journal of ours: "FoxJ" in ASCII."""

_OLDEST_SQLITE: Final = (3, 33, 0)
"""The first with UPDATE … FROM, which moves a whole group of entries in one statement."""

_SMALLEST_DATABASE: Final = 512
"""Bytes."""

_STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL UNIQUE,   -- UTF-8; a blob, because any str may be a key
            status TEXT NOT NULL,
            owner TEXT,                 -- who decides on it, while it is planned or sending
            keyed INTEGER NOT NULL,     -- 0: the key is a random one of ours
            model TEXT NOT NULL,
            kind TEXT NOT NULL,
            path TEXT NOT NULL,
            payload TEXT NOT NULL,      -- the JSON object of the POST
            num_outputs INTEGER NOT NULL,
            task_id TEXT,
            submitted REAL,             -- moments are seconds since 1970, UTC
            estimated_time REAL,
            error_code TEXT,
            error TEXT,
            files TEXT,                 -- JSON: path, size, sha256, index of each
            created REAL NOT NULL,
            updated REAL NOT NULL
        )
        """,
        "CREATE INDEX entries_by_status ON entries (status)",
        "CREATE INDEX entries_by_task ON entries (task_id) WHERE task_id IS NOT NULL",
        "CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL, updated REAL NOT NULL)",
    ),
)
"""Step n brings a file from version n to version n + 1."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the journal, creating it or bringing it up to date; each commit is durable.

    Raises:
        ConfigurationError: It cannot be used: no folder, not writable, not a journal, damaged, from
            a newer release, or locked for longer than `PATIENCE`.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        wanted = ".".join(map(str, _OLDEST_SQLITE))
        raise ConfigurationError(
            f"a journal needs SQLite {wanted} or newer; this Python has {sqlite3.sqlite_version}"
        )
    try:
        _create_privately(path)
        _check_kind(path)
        connection = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, cached_statements=512
        )
    except FILE_TROUBLE as error:
        raise configuration_error(path, error) from error
    try:
        connection.execute("PRAGMA synchronous = FULL")
        # macOS answers fsync before the disk has it.
        connection.execute("PRAGMA fullfsync = ON")
        _prepare(connection, path)
    except FILE_TROUBLE as error:
        connection.close()
        raise configuration_error(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """Open the journal to look into it; None if there is no such file yet.

    Raises:
        ConfigurationError: It is not a journal, damaged, from a newer release, or not readable.
    """
    if not path.exists():
        if not path.parent.is_dir():
            error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            raise configuration_error(path, error)
        return None
    try:
        _check_kind(path)
    except OSError as error:
        raise configuration_error(path, error) from error
    failure: Exception | None = None
    for mode in _ways_to_read(path):
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{mode}", uri=True, timeout=PATIENCE, isolation_level=None
            )
            version = _version(connection, path)
        except sqlite3.Error as error:
            failure = failure or error
            if connection is not None:
                connection.close()
            continue
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if version == 0:
            connection.close()
            return None
        return connection
    assert failure is not None
    raise configuration_error(path, failure) from failure


def _ways_to_read(path: Path) -> list[str]:
    ways = ["mode=rw", "mode=ro"]
    # Without a log beside it the file alone is the whole truth, and on a read-only disk there is no
    # other way: a log cannot even be looked for without writing.
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        ways.append("mode=ro&immutable=1")
    return ways


def _check_kind(path: Path) -> None:
    """Raise unless this is a file that is empty or may be a database.

    Its content is SQLite's to judge: closing a file drops all locks that this process has on it, so
    nobody else may open it.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # What is shorter than its smallest page, SQLite takes for an empty database.
    if 0 < path.stat().st_size < _SMALLEST_DATABASE:
        raise _not_a_journal(path)


def _create_privately(path: Path) -> None:
    # SQLite would create it readable for all; its log and index take the rights of the file.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == 0 or _mode(connection) != "wal":
        _use_a_log(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in _STEPS[_version(connection, path) :]:
            for statement in step:
                connection.execute(statement)
        # Even if nothing is new: a file that cannot be written must show before money is spent.
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(_STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the tables, 0 for an empty file."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application != _APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or version or tables:
            raise _not_a_journal(path)
        return 0
    if version > len(_STEPS):
        raise ConfigurationError(
            f"journal {str(path)!r}: it was written by a newer foxapi-async (format {version}; this "
            f"release knows {len(_STEPS)}); update foxapi-async"
        )
    return version


def _not_a_journal(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"journal {str(path)!r}: it is a file of another program, not a journal; nothing was changed. "
        "Give the path of another file"
    )


def _mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def _use_a_log(connection: sqlite3.Connection) -> None:
    # The switch to a write-ahead log does not wait for other processes by itself.
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return
