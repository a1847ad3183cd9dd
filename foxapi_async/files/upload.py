"""Input files to the service, streamed from disk."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter

from foxapi_async._concurrency import run_in_thread
from foxapi_async.api import Api
from foxapi_async.errors import InvalidRequestError
from foxapi_async.files.filenames import clean
from foxapi_async.files.sniff import HEAD, content_type_of, recognise
from foxapi_async.http.codec import read_upload
from foxapi_async.http.responses import Reply
from foxapi_async.http.transport import Transport
from foxapi_async.models import UploadedFile

__all__ = ["Uploads"]

PATH: Final = "/v1/files/upload/stream"

_BLOCK: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
"""Bytes that are written at once: small enough that a slow line still shows that it moves."""


class Uploads:
    """Stores input files."""

    def __init__(self, transport: Transport, calls: Api) -> None:
        self._transport = transport
        self._calls = calls

    async def upload(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        auto_cleanup: bool = True,
    ) -> UploadedFile:
        """Store a file; its ``url`` can be used in requests for 72 hours.

        Nothing is billed, so it is sent again after faults; a fault may leave a second copy at the
        server. A file from disk is streamed, never held whole.

        Args:
            path_or_bytes: Where the file is, or what is in it.
            filename: What the server shall call it; None for the name on disk.
            auto_cleanup: Whether the server, when its storage is full, may remove the oldest files
                to make room, even those that a running task still needs. With False the upload
                fails then (403).

        Raises:
            InvalidRequestError: There is no such file, or it is empty or unreadable; nothing was
                sent.
            PayloadTooLargeError: The server takes no file of that size.
            PermissionDeniedError: The storage is full, without ``auto_cleanup``.
            APIStatusError, APIConnectionError, InvalidResponseError: Any other failure, after the
                last try.
        """
        source: _Source
        if isinstance(path_or_bytes, bytes | bytearray | memoryview):
            source = _Memory(bytes(path_or_bytes))
        else:
            source = await run_in_thread(_OnDisk.at, Path(path_or_bytes))
        name = clean(filename or source.name)
        what = f"upload of {name!r} ({source.size} bytes)"

        async def send() -> Reply:
            return await self._send(source, name, auto_cleanup=auto_cleanup)

        return await self._calls.call(send, read_upload, what)

    async def _send(self, source: _Source, name: str, *, auto_cleanup: bool) -> Reply:
        timeout = self._transport.timeout
        patience = anyio.CancelScope(deadline=anyio.current_time() + timeout.stall)

        def moved(at_end: bool) -> None:  # noqa: FBT001
            # What the kernel still holds at the end moves as well, but unseen.
            more = timeout.stall + (timeout.request if at_end else 0.0)
            patience.deadline = anyio.current_time() + more

        form = aiohttp.FormData()
        form.add_field("file_name", name)
        form.add_field("auto_cleanup", "true" if auto_cleanup else "false")
        form.add_field(
            "file",
            _Body(source, content_type_of(name, source.head), moved),
            # The whole name is in file_name; in a header only ASCII is understood everywhere.
            filename=name.encode("ascii", "replace").decode().replace("?", "_"),
        )
        return await self._transport.call("POST", PATH, form=form, patience=patience)


class _Source(Protocol):
    name: str
    size: int
    head: bytes

    def blocks(self) -> AsyncGenerator[bytes, None]: ...


class _Memory:
    def __init__(self, content: bytes) -> None:
        if not content:
            raise _unfit("the file is empty")
        self.head = content[:HEAD]
        known = recognise(self.head)
        self.name = f"upload.{known.extension if known else 'bin'}"
        self.size = len(content)
        self._content = content

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        yield self._content


class _OnDisk:
    def __init__(self, path: Path, size: int, head: bytes) -> None:
        self.name = path.name
        self.size = size
        self.head = head
        self._path = path

    @classmethod
    def at(cls, path: Path) -> _OnDisk:
        """Look at a file; blocking."""
        try:
            there = path.stat()
            # Opening a pipe would wait for whoever writes to it.
            if stat.S_ISREG(there.st_mode):
                with path.open("rb") as file:
                    head = file.read(HEAD)
            else:
                head = None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise _unfit(f"{path} cannot be read: {why}", path) from error
        if not head:
            raise _unfit(f"{path} is {'no regular file' if head is None else 'empty'}", path)
        return cls(path, there.st_size, head)

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        opened: list[BinaryIO] = []
        try:
            await run_in_thread(lambda: opened.append(self._path.open("rb", buffering=0)))
            while block := await run_in_thread(opened[0].read, _BLOCK):
                yield block
        finally:
            # Not the result of the open: a cancellation would have lost it.
            for file in opened:
                await run_in_thread(file.close)


class _Body(aiohttp.Payload):
    """The part of the form that is the file."""

    _autoclose = True

    def __init__(self, source: _Source, content_type: str, moved: Callable[[bool], None]) -> None:
        super().__init__(source, content_type=content_type)
        self._source = source
        self._size = source.size
        self._moved = moved

    async def write(self, writer: AbstractStreamWriter) -> None:
        left = self._source.size
        async with aclosing(self._source.blocks()) as blocks:
            async for block in blocks:
                view = memoryview(block)[:left]
                for start in range(0, len(view), _PIECE):
                    piece = view[start : start + _PIECE]
                    await writer.write(piece)
                    left -= len(piece)
                    self._moved(left == 0)
                if left == 0:
                    return
        raise OSError(None, "the file became shorter while it was being sent")

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        raise TypeError("an upload is streamed and never text")


def _unfit(why: str, path: Path | None = None) -> InvalidRequestError:
    return InvalidRequestError(f"upload: {why}", field="path_or_bytes", value=path)
