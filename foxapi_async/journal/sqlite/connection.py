"""Connections to the journal's file: how it is opened, its schema, and what its errors mean.

Version 1 of the schema is the first that was released. A later version adds its step to `_STEPS`;
the first process that opens an older file for writing upgrades it in one transaction.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from foxapi_async.errors import ConfigurationError

LOCK_TIMEOUT: Final = 10.0
"""Seconds to wait for another process that holds the lock; each holds it for milliseconds."""
_APPLICATION_ID: Final = 0x466F784A
"""Marks the file as a journal of this package: "FoxJ" in ASCII."""

_OLDEST_SQLITE: Final = (3, 33, 0)
"""The first with UPDATE … FROM, which changes many entries in one statement."""
_MIN_SIZE: Final = 512
"""Bytes of the smallest database."""
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
    # What the server said to an unknown submission.
    ("ALTER TABLE entries ADD COLUMN response TEXT",),
)
"""Step n upgrades a file from version n to version n + 1."""
_VIEWS: Final = {
    1: "CREATE TEMP VIEW entries AS SELECT *, NULL AS response FROM main.entries",
}
"""Views that show a file of an older version as a new one to a reader, which cannot upgrade it."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the journal for writing and create or upgrade it; each commit is durable."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        wanted = ".".join(map(str, _OLDEST_SQLITE))
        raise ConfigurationError(
            f"a journal needs SQLite {wanted} or newer; this Python has {sqlite3.sqlite_version}"
        )
    with translated_errors(path), contextlib.ExitStack() as stack:
        _create_privately(path)
        _check_kind(path)
        connection = _connect(path)
        stack.callback(connection.close)
        connection.execute("PRAGMA synchronous = FULL")
        # On macOS fsync returns before the data is on the disk.
        connection.execute("PRAGMA fullfsync = ON")
        _upgrade(connection, path)
        stack.pop_all()
        return connection


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """Open the journal for reading; return None if the file does not exist or is empty."""
    with translated_errors(path):
        if not path.exists():
            if not path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return None
        _check_kind(path)
        failures: list[sqlite3.Error] = []
        for mode in _read_modes(path):
            uri = f"file:{quote(str(path))}?{mode}"
            try:
                with contextlib.ExitStack() as stack:
                    connection = _connect(uri, uri=True)
                    stack.callback(connection.close)
                    version = _version(connection, path)
                    if version == 0:
                        return None
                    if (view := _VIEWS.get(version)) is not None:
                        connection.execute("PRAGMA temp_store = MEMORY")
                        connection.execute(view)
                    stack.pop_all()
                    return connection
            except sqlite3.Error as error:
                failures.append(error)
        raise failures[0]


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Commit what the body does, or roll it back if the body or the commit fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has already rolled back.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def translated_errors(path: Path) -> Generator[None, None, None]:
    """Raise errors of the file system and of SQLite as ConfigurationError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise configuration_error(path, error) from error


def _connect(target: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        target, uri=uri, timeout=LOCK_TIMEOUT, isolation_level=None, cached_statements=512
    )


def _read_modes(path: Path) -> list[str]:
    modes = ["mode=rw", "mode=ro"]
    # Without a log beside it the file alone is complete. On a read-only disk there is no other mode:
    # SQLite cannot even check for a log without writing.
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        modes.append("mode=ro&immutable=1")
    return modes


def _check_kind(path: Path) -> None:
    # Only SQLite may open it to check its content: closing a file drops all locks of this process.
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # SQLite takes a file that is shorter than its smallest page for an empty database.
    if 0 < path.stat().st_size < _MIN_SIZE:
        raise _not_a_journal(path)


def _create_privately(path: Path) -> None:
    # SQLite would create it readable for everybody; its log and index get the mode of the file.
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


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if _version(connection, path) == 0 or mode != "wal":
        _use_write_ahead_log(connection)
    with transaction(connection):
        for step in _STEPS[_version(connection, path) :]:
            for statement in step:
                connection.execute(statement)
        # Written on each opening: a file that cannot be written must fail before money is spent.
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(_STEPS)}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application != _APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or version or tables:
            raise _not_a_journal(path)
        return 0
    if version > len(_STEPS):
        raise ConfigurationError(
            f"{label_of(path)}: it was written by a newer foxapi-async (format {version}; this "
            f"release knows {len(_STEPS)}); update foxapi-async"
        )
    return version


def _not_a_journal(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{label_of(path)}: it is a file of another program, not a journal; nothing was changed. "
        "Give the path of another file"
    )


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for other processes when it switches to a write-ahead log.
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


_PERMISSION: Final = "check the permissions of the file and its folder"
_LOCKED: Final = "another program has locked it for too long; end that program"
_SQLITE_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full (or the file may not grow); free some space",
    sqlite3.SQLITE_READONLY: f"it cannot be written; {_PERMISSION}",
    sqlite3.SQLITE_PERM: f"it cannot be written; {_PERMISSION}",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder exists and is writable",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_NOTADB: "it is a file of another program, not a journal; give the path of another file",
    sqlite3.SQLITE_CORRUPT: "it is damaged; keep a copy and try `sqlite3 FILE .recover`",
    sqlite3.SQLITE_IOERR: "the disk could not be read or written; check the disk and its free space",
}
_OS_ADVICE: Final = {
    errno.ENOENT: "its folder does not exist; create it",
    errno.ENOTDIR: "its folder is not a folder; give another path",
    errno.EISDIR: "it is a folder; give the path of a file",
    errno.EACCES: f"permission is denied; {_PERMISSION}",
    errno.EPERM: f"permission is denied; {_PERMISSION}",
    errno.EROFS: "the file system is read-only; give a path that can be written",
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file may not grow; raise the limit of file sizes",
    errno.ENAMETOOLONG: "its name is too long; give a shorter one",
}


def label_of(path: Path) -> str:
    """Return how messages name the journal of a file."""
    return f"journal {str(path)!r}"


def configuration_error(path: Path, error: BaseException) -> ConfigurationError:
    """Return the error to raise if the journal's file fails before anything was sent."""
    if isinstance(error, sqlite3.Error):
        # Extended codes have the primary one in their low byte.
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        advice = _SQLITE_ADVICE.get(code, "SQLite cannot use it")
    else:
        advice = _OS_ADVICE.get(getattr(error, "errno", None) or -1, "it cannot be used")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConfigurationError(f"{label_of(path)}: {advice} ({name}: {text})")
