"""Locks on the tasks of a folder, so that two runs never fetch the files of one task at the same time.

The second run waits, and then finds in the journal what the first has saved. A lock is one byte of one
file, at the place that the hash of the task id gives. The kernel releases the locks of a process that
ends, and no files are left behind but that one.

The locks of ``fcntl.lockf`` belong to the process and are lost when it closes any descriptor of the
file. So the runs of one process close theirs together, and share a table of the places that they hold.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import attrs

from foxapi_async import ConfigurationError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, place: int) -> None:
        os.lseek(descriptor, place, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int, place: int) -> None:
        os.lseek(descriptor, place, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, place: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def _unlock(descriptor: int, place: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)


LOCK_NAME: Final = "runs.jsonl.lock"

_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0  # Seconds between two attempts at a lock


@attrs.define(eq=False)
class _SharedFile:
    descriptors: list[int] = attrs.field(factory=list[int])  # closed together, after the last use
    users: int = 0
    held: set[int] = attrs.field(factory=set[int])


_files: Final[dict[tuple[int, int, int], _SharedFile]] = {}
"""The files of this process, by process id (a fork copies the table), device and inode."""

_table_lock: Final = threading.Lock()


class TaskLocks:
    """The locks on the tasks of a folder; call `close` after use. Opening blocks.

    Raises:
        ConfigurationError: The file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be written: {error.strerror or error}"
            ) from error
        status = os.fstat(descriptor)
        self._id = (os.getpid(), status.st_dev, status.st_ino)
        with _table_lock:
            file = _files.setdefault(self._id, _SharedFile())
            file.descriptors.append(descriptor)
            file.users += 1

    def close(self) -> None:
        """Close the file after its last use by this process."""
        with _table_lock:
            file = _files[self._id]
            file.users -= 1
            if not file.users:
                del _files[self._id]
                for descriptor in file.descriptors:
                    os.close(descriptor)

    @asynccontextmanager
    async def held(self, task_id: str) -> AsyncGenerator[None, None]:
        """Hold the lock on a task within the block; wait for it as long as another run holds it."""
        digest = hashlib.blake2b(task_id.encode("utf-8", "surrogatepass"), digest_size=7).digest()
        # Within the signed offsets of a file, also where those have 32 bits.
        place = int.from_bytes(digest, "big") % 2**31
        pause = _FIRST_PAUSE
        while not self._take(place):
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            yield
        finally:
            self._release(place)

    def _take(self, place: int) -> bool:
        with _table_lock:
            file = _files[self._id]
            if place in file.held:
                return False
            try:
                _lock(file.descriptors[0], place)
            except OSError as error:
                if error.errno in _TAKEN:
                    return False
                # Some network file systems have no locks: then a file may be fetched twice, which
                # costs nothing but time.
            file.held.add(place)
            return True

    def _release(self, place: int) -> None:
        with _table_lock:
            file = _files[self._id]
            file.held.discard(place)
            try:
                _unlock(file.descriptors[0], place)
            except OSError:
                return
