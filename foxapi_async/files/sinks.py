"""Where the bytes of a download go: to disk or into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar, TypeVarTuple

from foxapi_async._concurrency import ThreadJob, run_in_thread
from foxapi_async.errors import DownloadError
from foxapi_async.files.partfile import PartFile

__all__ = ["DiskSink", "MemorySink", "Sink"]

T = TypeVar("T")
P = TypeVarTuple("P")


class Sink(Protocol):
    """Takes the bytes of a download in order."""

    async def write(self, block: list[bytes]) -> None:
        """Append a block of chunks, which is the sink's own from now on."""
        ...

    async def restart(self) -> None:
        """Throw away what came so far."""
        ...


class MemorySink:
    """Keeps everything in memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    async def write(self, block: list[bytes]) -> None:
        """Append a block."""
        for chunk in block:
            self._bytes += chunk

    async def restart(self) -> None:
        """Throw away what came so far."""
        self._bytes.clear()

    def content(self) -> bytes:
        """Return everything."""
        return bytes(self._bytes)


class DiskSink:
    """Writes to disk: one block is on its way to the disk while the next one is being received.

    The last block waits for `publish`, so that a picture costs one hop to a worker thread in all.
    Used as ``async with``; what has not been published by its end is removed.

    Raises:
        DownloadError: From every method, if the disk is full or the folder cannot be written to.
    """

    def __init__(self, folder: Path, hint: str) -> None:
        self._folder = folder
        self._part = PartFile(folder, hint)
        self._last: list[bytes] = []
        self._under_way: ThreadJob[object] | None = None
        self._published = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._published:
            return
        try:
            await self._caught_up()
        finally:
            await self._on_disk(self._part.discard)

    async def write(self, block: list[bytes]) -> None:
        """Take a block; start to write the one before it once those before that are on disk."""
        await self._caught_up()
        if self._last:
            self._under_way = ThreadJob(self._part.write, self._last)
        self._last = block

    async def restart(self) -> None:
        """Throw away what came so far."""
        self._last = []
        await self._caught_up()
        await self._on_disk(self._part.restart)

    async def publish(self, name: str) -> Path:
        """Give the file its name, or one like it that is free, and return its path."""
        await self._caught_up()
        path = await self._on_disk(self._finish, name)
        self._published = True
        return path

    def _finish(self, name: str) -> Path:
        self._part.write(self._last)
        return self._part.publish(name)

    async def _caught_up(self) -> None:
        job, self._under_way = self._under_way, None
        if job is None:
            return
        try:
            await job.wait()
        except OSError as error:
            raise self._trouble(error) from error

    async def _on_disk(self, function: Callable[[*P], T], *args: *P) -> T:
        try:
            return await run_in_thread(function, *args)
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> DownloadError:
        return DownloadError(f"cannot write to {self._folder}: {error.strerror or error}")
