"""What went wrong with the file, in words that say what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Final

from foxapi_async.errors import ConfigurationError

__all__ = ["FILE_TROUBLE", "configuration_error"]

FILE_TROUBLE: Final = (sqlite3.Error, OSError)
"""What the file system and SQLite raise."""

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full (or the file may not grow); free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "it cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder exists and may be written",
    sqlite3.SQLITE_BUSY: "another program has locked it for too long; end that program",
    sqlite3.SQLITE_LOCKED: "another program has locked it for too long; end that program",
    sqlite3.SQLITE_NOTADB: "it is a file of another program, not a journal; give the path of another file",
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged; keep a copy, then `sqlite3 FILE .recover` may save what it knows"
    ),
    sqlite3.SQLITE_IOERR: "the disk could not be read or written; check the disk and its free space",
    errno.ENOSPC: "the disk is full; free some space",
}

_BY_ERRNO: Final = {
    errno.ENOENT: "its folder does not exist; create it",
    errno.ENOTDIR: "its folder is not a folder; give another path",
    errno.EISDIR: "it is a folder; give the path of a file",
    errno.EACCES: "permission is denied; check the permissions of the file and its folder",
    errno.EPERM: "permission is denied; check the permissions of the file and its folder",
    errno.EROFS: "the file system is read-only; give a path that can be written",
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file may not grow; raise the limit of file sizes",
    errno.ENAMETOOLONG: "its name is too long; give a shorter one",
}


def configuration_error(path: Path, error: Exception) -> ConfigurationError:
    """Return the error to raise for trouble with the journal's file before anything was sent."""
    return ConfigurationError(f"journal {str(path)!r}: {advice(error)} ({_said(error)})")


def advice(error: Exception) -> str:
    """Return what is wrong and what to do, without the path."""
    if isinstance(error, sqlite3.Error):
        # Extended codes carry the primary one in their low byte.
        code = getattr(error, "sqlite_errorcode", None)
        return _ADVICE.get(code & 0xFF if code else -1, "SQLite cannot work with it")
    return _BY_ERRNO.get(getattr(error, "errno", None) or -1, "it cannot be used")


def _said(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{name}: {text}"
