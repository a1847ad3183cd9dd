"""Uploads input files, streamed from disk."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp
import anyio
import attrs
from aiohttp.abc import AbstractStreamWriter

from foxapi_async._concurrency import run_in_thread
from foxapi_async.api import Api
from foxapi_async.errors import APIConnectionError, InvalidRequestError
from foxapi_async.files.filenames import clean
from foxapi_async.files.pace import run_with_descriptors
from foxapi_async.files.sniff import HEAD, content_type_of, recognise
from foxapi_async.http.codec import read_upload
from foxapi_async.http.responses import Reply
from foxapi_async.http.transport import Transport
from foxapi_async.models import UploadedFile

PATH: Final = "/v1/files/upload/stream"

_READ_BLOCK: Final = 1024 * 1024
_WRITE_BLOCK: Final = 64 * 1024
"""Bytes per write to the socket: small enough that a slow connection still shows progress."""


async def upload_file(
    transport: Transport,
    api: Api,
    path_or_bytes: str | os.PathLike[str] | bytes,
    filename: str | None,
    *,
    auto_cleanup: bool,
) -> UploadedFile:
    """Store a file at the server; see `Session.upload`.

    Nothing is billed, so failures are retried; a retry may leave a second copy at the server.
    """
    if isinstance(path_or_bytes, bytes | bytearray | memoryview):
        source = _in_memory(bytes(path_or_bytes))
    else:
        source = await run_with_descriptors(_on_disk, Path(path_or_bytes))
    name = clean(filename or source.name)
    send = partial(_send, transport, source, name, auto_cleanup=auto_cleanup)
    what = f"upload of {name!r} ({source.size} bytes)"
    return await api.call(send, read_upload, what)


async def _send(transport: Transport, source: _Source, name: str, *, auto_cleanup: bool) -> Reply:
    timeout = transport.timeout
    patience = anyio.CancelScope(deadline=anyio.current_time() + timeout.stall)

    def on_progress(at_end: bool) -> None:  # noqa: FBT001
        # The kernel still sends what it has buffered, and nothing reports when.
        more = timeout.stall + (timeout.request if at_end else 0.0)
        patience.deadline = anyio.current_time() + more

    content = _FilePart(source, content_type_of(name, source.head), on_progress)
    form = aiohttp.FormData()
    form.add_field("file_name", name)
    form.add_field("auto_cleanup", "true" if auto_cleanup else "false")
    # The whole name is in file_name; in a header only ASCII is understood everywhere.
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    form.add_field("file", content, filename=ascii_name)
    try:
        return await transport.call("POST", PATH, form=form, patience=patience)
    except APIConnectionError:
        if content.fault is not None:  # the file failed, not the connection: a retry is useless
            raise content.fault from content.fault.__cause__
        raise


@attrs.frozen(eq=False, repr=False)
class _Source:
    content: bytes | Path
    name: str
    size: int
    head: bytes

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        if isinstance(self.content, bytes):
            yield self.content
            return
        path = self.content
        opened: list[BinaryIO] = []
        try:
            # A cancellation would lose the result of the thread, but not the list.
            await run_with_descriptors(lambda: opened.append(path.open("rb", buffering=0)))
            while block := await run_in_thread(opened[0].read, _READ_BLOCK):
                yield block
        except OSError as error:
            raise _invalid(
                f"{path} could not be read to its end: {error.strerror}", path
            ) from error
        finally:
            for file in opened:
                await run_in_thread(file.close)
        raise _invalid(f"{path} became shorter while it was being sent", path)


def _in_memory(content: bytes) -> _Source:
    if not content:
        raise _invalid("the file is empty")
    head = content[:HEAD]
    known = recognise(head)
    return _Source(content, f"upload.{known.extension if known else 'bin'}", len(content), head)


def _on_disk(path: Path) -> _Source:
    head = b""
    try:
        found = path.stat()
        is_regular = stat.S_ISREG(found.st_mode)
        if is_regular:  # opening a pipe would block until something writes to it
            with path.open("rb") as file:
                head = file.read(HEAD)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _invalid(f"{path} cannot be read: {reason}", path) from error
    if not head:
        raise _invalid(f"{path} is {'empty' if is_regular else 'not a regular file'}", path)
    return _Source(path, path.name, found.st_size, head)


class _FilePart(aiohttp.Payload):
    """The part of the form that is the file."""

    _autoclose = True

    def __init__(
        self, source: _Source, content_type: str, on_progress: Callable[[bool], None]
    ) -> None:
        super().__init__(source, content_type=content_type)
        self._source = source
        self._size = source.size
        self._on_progress = on_progress
        self.fault: InvalidRequestError | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        left = self._source.size
        try:
            async with aclosing(self._source.blocks()) as blocks:
                async for block in blocks:
                    view = memoryview(block)[:left]
                    for start in range(0, len(view), _WRITE_BLOCK):
                        piece = view[start : start + _WRITE_BLOCK]
                        await writer.write(piece)
                        left -= len(piece)
                        self._on_progress(left == 0)
                    if left == 0:
                        return
        except InvalidRequestError as fault:
            self.fault = fault
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        raise TypeError("an upload is streamed and never text")


def _invalid(why: str, path: Path | None = None) -> InvalidRequestError:
    return InvalidRequestError(f"upload: {why}", field="path_or_bytes", value=path)
