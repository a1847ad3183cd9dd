"""Where a download is written: to memory, or to a file that gets its name once it is complete."""

from __future__ import annotations

import errno
import filecmp
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVar, TypeVarTuple

import anyio

from foxapi_async._concurrency import ThreadJob, run_in_thread
from foxapi_async.errors import DownloadError
from foxapi_async.files.content import Content
from foxapi_async.files.filenames import clean, free_names
from foxapi_async.files.pace import is_out_of_descriptors, run_with_descriptors

T = TypeVar("T")
P = TypeVarTuple("P")

_MAX_HINT: Final = 60
_APPEND: Final = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
_CREATE: Final = _APPEND | os.O_CREAT | os.O_EXCL
_PART_NAME: Final = re.compile(r"\..*\.[0-9a-f]{12}\.part", re.DOTALL)

_STALE_AFTER: Final = 900.0
"""Seconds without a write after which a part is abandoned; the pauses of a download are shorter."""

_renaming: Final = threading.Lock()


def remove_stale_parts(folder: Path, now: float, depth: int = 0) -> int:
    """Remove the parts that killed processes left in a folder; return how many. ``now`` is since 1970.

    Folders are searched down to ``depth`` below it; symbolic links are not followed.
    """
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if depth and entry.is_dir(follow_symlinks=False):
                    removed += remove_stale_parts(Path(entry.path), now, depth - 1)
                elif (
                    _PART_NAME.fullmatch(entry.name)
                    and now - entry.stat(follow_symlinks=False).st_mtime > _STALE_AFTER
                ):
                    Path(entry.path).unlink()
                    removed += 1
    return removed


class PartFile:
    """A file under a temporary name in its final folder. Blocking: for worker threads.

    An event loop that is torn down does not wait for its worker threads. So each step holds a lock,
    and a `write` after `discard` does nothing.
    """

    def __init__(self, folder: Path, hint: str) -> None:
        self._folder = folder
        self._path = folder / f".{clean(hint)[:_MAX_HINT]}.{secrets.token_hex(6)}.part"
        self._file: int | None = None
        self._is_created = False
        self._lock = threading.Lock()
        self._finished = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes; the first write creates the file and its folder."""
        with self._lock:
            if self._finished:
                return
            file = self._open()
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]

    def restart(self) -> None:
        """Remove what has been written."""
        with self._lock:
            if self._is_created and not self._finished:
                os.ftruncate(self._open(), 0)

    def close(self) -> None:
        """Close the file until the next write, because descriptors are scarce."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)

    def publish(self, name: str) -> Path:
        """Sync the file, give it its name, and return its path.

        Nothing is overwritten. If the name is taken by a file of the same bytes, that file is
        returned; otherwise ``name~2.png`` is tried, and so on.
        """
        with self._lock:
            file = self._open()
            os.fsync(file)
            self._file = None
            os.close(file)
            targets = (self._folder / each for each in free_names(name))
            target = next(each for each in targets if self._take(each) or self._equals(each))
            with suppress(OSError):  # the file has its name; a part that stays is a second link
                self._path.unlink(missing_ok=True)
            _sync_folder(self._folder)
            self._finished = True
            return target

    def content(self) -> Content:
        """Return the bytes that were written."""
        with self._lock:
            return Content.of_file(self._path)

    def discard(self) -> None:
        """Remove the part if possible. A published file stays."""
        with self._lock:
            self._finished = True
            file, self._file = self._file, None
            with suppress(OSError):
                if file is not None:
                    os.close(file)
            with suppress(OSError, ValueError):
                self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._file is None and self._is_created:
            self._file = os.open(self._path, _APPEND)
        elif self._file is None:
            try:
                self._file = os.open(self._path, _CREATE, 0o666)
            except (FileNotFoundError, NotADirectoryError):
                try:
                    self._folder.mkdir(parents=True, exist_ok=True)
                except FileExistsError as error:
                    raise NotADirectoryError(errno.ENOTDIR, "it is not a folder") from error
                self._file = os.open(self._path, _CREATE, 0o666)
            self._is_created = True
        return self._file

    def _take(self, target: Path) -> bool:
        try:
            # Atomic, and unlike a rename it fails if the name is taken.
            os.link(self._path, target)
        except FileExistsError:
            return False
        except OSError:
            return self._rename_to(target)
        return True

    def _rename_to(self, target: Path) -> bool:
        # For FAT and some network file systems, which have no hard links. A placeholder would make the
        # rename safe, but after a crash it would look like an empty result. So a file that another
        # process creates between the check and the rename is overwritten (except on Windows, where
        # a rename fails).
        try:
            with _renaming:
                if os.path.lexists(target):
                    return False
                self._path.rename(target)
        except FileExistsError:
            return False
        return True

    def _equals(self, target: Path) -> bool:
        try:
            is_regular = stat.S_ISREG(target.lstat().st_mode)
            return is_regular and filecmp.cmp(self._path, target, shallow=False)
        except OSError as error:
            if is_out_of_descriptors(error):
                raise
            return False


class MemorySink:
    """Collects a download in memory."""

    def __init__(self) -> None:
        self.content: bytearray = bytearray()

    async def write(self, block: bytearray) -> None:
        """Append bytes."""
        self.content += block

    async def restart(self) -> None:
        """Remove what has been written."""
        self.content.clear()

    async def pause(self) -> None:
        """Do nothing: memory holds no descriptor."""

    async def complete(self) -> None:
        """Do nothing: memory needs no turn at the disk."""


class DiskSink:
    """Writes a download to disk, one block while the next one is being received.

    Use it as ``async with``; a file that has not been published by the end is removed. All methods
    raise `DownloadError`, whose text begins with ``what``, if the folder cannot be written to; they
    wait while no file descriptor is left. ``places`` bounds the complete files that wait for the disk.
    """

    def __init__(self, folder: Path, hint: str, what: str, places: anyio.Semaphore) -> None:
        self._folder = folder
        self._what = what
        self._part = PartFile(folder, hint)
        self._places = places
        self._has_place = False
        self._last = bytearray()
        self._block = bytearray()
        self._writing: ThreadJob[None] | None = None
        self._published = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if not self._published:
                await self._discard()
        finally:
            if self._has_place:
                self._places.release()

    async def write(self, block: bytearray) -> None:
        """Append bytes; the block belongs to the sink from now on."""
        await self._drain()
        # The newest block waits for `publish`, so that a picture takes one hop to a thread in all.
        if self._last:
            self._block = self._last
            self._writing = ThreadJob(self._part.write, self._block)
        self._last = block

    async def restart(self) -> None:
        """Remove what has been written."""
        self._last = bytearray()
        await self._drain()
        await self._checked(self._part.restart)

    async def pause(self) -> None:
        """Hold no descriptor until the next write."""
        await self._drain()
        await self._checked(self._part.close)

    async def complete(self) -> None:
        """Take note that all bytes are here, and wait for a place among the files that are synced."""
        await self._places.acquire()
        self._has_place = True

    async def publish(self, name: str) -> Path:
        """Give the file its name, or one like it that is free, and return its path."""
        await self._drain()
        path = await self._checked(self._finish, name)
        self._published = True
        return path

    async def content(self) -> Content:
        """Return what was written, for another place than a folder; the part is removed as always."""
        await self._drain()
        return await self._checked(self._read)

    def _read(self) -> Content:
        self._part.write(self._last)
        self._last = bytearray()
        return self._part.content()

    def _finish(self, name: str) -> Path:
        self._part.write(self._last)
        self._last = bytearray()
        return self._part.publish(name)

    async def _discard(self) -> None:
        try:
            if self._writing is not None:
                with suppress(OSError, ValueError):  # the error of the block says more
                    await self._writing.wait()
        finally:
            await run_in_thread(self._part.discard)

    async def _drain(self) -> None:
        job, self._writing = self._writing, None
        if job is None:
            return
        try:
            await job.wait()
        except (OSError, ValueError) as error:
            if not is_out_of_descriptors(error):
                raise self._failed(error) from error
            await self._checked(self._part.write, self._block)

    async def _checked(self, function: Callable[[*P], T], *args: *P) -> T:
        try:
            return await run_with_descriptors(function, *args)
        except (OSError, ValueError) as error:  # ValueError: the path cannot be encoded
            raise self._failed(error) from error

    def _failed(self, error: OSError | ValueError) -> DownloadError:
        return DownloadError(
            f"{self._what}: cannot write to {self._folder}: "
            f"{getattr(error, 'strerror', None) or error}; the task is paid for and can be "
            "downloaded again"
        )


Sink = DiskSink | MemorySink


def _sync_folder(folder: Path) -> None:
    # Otherwise a power failure may lose the name, though not the bytes. Windows cannot open folders.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
