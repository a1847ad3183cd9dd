"""The journal's file, open for writing: one batch of operations is one transaction and one fsync."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foxapi_async.errors import ConfigurationError
from foxapi_async.journal import reading
from foxapi_async.journal.entry import Entry
from foxapi_async.journal.moves import Moves
from foxapi_async.journal.operations import Operation
from foxapi_async.journal.sqlite import owners
from foxapi_async.journal.sqlite.connection import open_to_write
from foxapi_async.journal.sqlite.tables import SqliteTables


class SqliteDatabase:
    """The journal's file, open for writing by one owner; used in one thread."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._connection: Final = open_to_write(path)
        try:
            self._tables: Final = SqliteTables(path, self._connection)
            self._file = path.stat()
            self._owner = owners.Owner(path)
            owners.sweep(path)
            self._moves = Moves(self._tables, self._owner.id)
            with self._tables.transaction():
                self._moves.recover_orphans()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and release the entries that are still planned or sending."""
        if hasattr(self, "_owner"):
            self._owner.release()
        self._connection.close()

    def cut(self) -> None:
        """Do nothing: a local file does not hang."""

    def apply(self, operations: Sequence[Operation]) -> None:
        """Execute all operations durably, or raise and execute none; set ``error`` of refused ones."""
        self._check_file()
        with self._tables.transaction():
            self._moves.execute(operations)

    def recall(self, name: str) -> str | None:
        """Return the JSON of a remembered value."""
        return reading.remembered(self._tables, [name]).get(name)

    def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        return reading.has_task(self._tables, task_id)

    def entries(self, keys: Sequence[str]) -> list[Entry]:
        """Return the entries of those keys that have one."""
        return list(reading.find(self._tables, keys))

    def _check_file(self) -> None:
        try:
            if os.path.samestat(self._path.stat(), self._file):
                return
        except OSError:
            pass
        raise ConfigurationError(
            f"{self._tables.label}: the file was removed or replaced while it was in use, so nothing can be "
            "recorded. Restart the program"
        )
