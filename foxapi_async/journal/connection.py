"""What exists of a journal between its first opening and its last closing in one event loop."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from foxapi_async.journal.database import Store
from foxapi_async.journal.desk import Desk
from foxapi_async.journal.file_errors import FILE_TROUBLE, configuration_error
from foxapi_async.journal.writer import GroupCommit

__all__ = ["Opened"]

_left_behind: Final[list[Opened]] = []
"""What a fork copied. It must not even be closed: SQLite would think that this was its last user."""


class Opened:
    """The store in its thread, and what leads there from one event loop."""

    def __init__(self, path: Path, store: Store, thread: ThreadPoolExecutor) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._process: Final = os.getpid()
        self._path: Final = path
        self._thread: Final = thread
        self._store: Final = store
        self.commit: Final = GroupCommit(path, store, thread)
        self.desk: Final = Desk(self.commit)

    @classmethod
    async def at(cls, path: Path) -> Self:
        """Open a file in a new thread.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="foxapi-journal")
        stores: list[Store] = []
        try:
            await asyncio.get_running_loop().run_in_executor(
                thread, lambda: stores.append(Store(path))
            )
            return cls(path, stores[0], thread)
        except BaseException as error:
            # Also if the waiting was cancelled: the thread closes what it has opened by then.
            thread.submit(_close, stores)
            thread.shutdown(wait=False)
            if isinstance(error, FILE_TROUBLE):
                raise configuration_error(path, error) from error
            raise

    async def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            await self.commit.flush()
        finally:
            # Also if the waiting was cancelled.
            self.commit.give_up()
            closing = self._loop.run_in_executor(self._thread, self._store.close)
            self._thread.shutdown(wait=False)
            await closing

    async def recall(self, name: str) -> str | None:
        """Return the JSON that was remembered under a name.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        await self.commit.flush()
        try:
            return await self._loop.run_in_executor(self._thread, self._store.recall, name)
        except FILE_TROUBLE as error:
            raise configuration_error(self._path, error) from error

    def is_here(self) -> bool:
        """Whether the running event loop is the one that this was opened in."""
        try:
            return asyncio.get_running_loop() is self._loop and self._process == os.getpid()
        except RuntimeError:
            return False

    def abandon_if_dead(self) -> bool:
        """Whether the event loop is gone or in another process; then close what can be closed."""
        if self._process != os.getpid():
            _left_behind.append(self)
            return True
        if self._loop.is_closed():
            self._thread.submit(self._store.close)
            self._thread.shutdown(wait=True)
            return True
        return False


def _close(stores: list[Store]) -> None:
    for store in stores:
        store.close()
