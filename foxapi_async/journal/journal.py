"""The journal in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from foxapi_async.journal.sqlite.backend import SqliteBackend
from foxapi_async.journal.stored import StoredJournal


class Journal(StoredJournal):
    """A file that makes submissions idempotent; several processes may share it.

    It is a SQLite database with a log and lock files beside it, so it belongs on a local disk. It
    holds the payloads of requests, but no API key, and only its owner can read it. A session or
    ``async with journal`` opens it for writing. The methods that are not async read the file at any
    time, open or not. All methods raise ConfigurationError if the file cannot be used. The file is
    created when it is first opened, its folder is not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Made absolute now: after a later chdir a relative path would be another journal.
        self.path: Final = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - keeps symlinks
        super().__init__(SqliteBackend(self.path))

    @property
    def address(self) -> str:
        """The path of the file."""
        return str(self.path)

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"
