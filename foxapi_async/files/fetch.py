"""One file over HTTP, until it is whole: followed, measured, judged, and taken up when it breaks."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import anyio
import attrs
from aiohttp import ClientResponse
from yarl import URL

from foxapi_async.backoff import backoff, parse_retry_after
from foxapi_async.environment import is_loopback
from foxapi_async.errors import APIConnectionError, DownloadError
from foxapi_async.files.ranges import Opening, opening, range_headers, validator_of
from foxapi_async.files.sinks import Sink
from foxapi_async.files.sniff import HEAD, TAIL, extension_for, is_whole, objection
from foxapi_async.files.urls import check_link, next_hop, shown
from foxapi_async.http.transport import Transport
from foxapi_async.options import Retry

__all__ = ["Fetch", "LinkRefusedError"]

BLOCK: Final = 512 * 1024
"""Bytes that are handed on at once: a hop to a worker thread costs as much as writing some 100 KiB,
and with 1 MiB the kernel took 1.4 ms more for a file of 2 MiB (ext4, in a virtual machine)."""

MOST_CHUNKS: Final = 256
"""Chunks that are handed on at once, however small; each of them costs memory of its own."""

STEP: Final = 256 * 1024
"""Bytes between two reports of progress."""

MOST_REDIRECTS: Final = 5
MOST_TRIES: Final = 64
"""Tries of one file in all, however much progress each of them makes."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LINK_REFUSED: Final = frozenset({403, 404, 410})
_MAY_PASS: Final = frozenset({408, 425, 429})
_RANGE_NOT_SATISFIABLE: Final = 416


class LinkRefusedError(Exception):
    """The link is no good (any more), but another one may be; never leaves this package."""


@attrs.frozen(eq=False, repr=False)
class _Trouble:
    """Why a try brought less than the whole file, though the next one may."""

    words: str
    cause: Exception | None = None
    retry_after: float | None = None


@attrs.define(eq=False, repr=False)
class Fetch:
    """Fetches one file into a sink.

    Args:
        transport: What opens links.
        sink: What takes the bytes.
        retry: Tries without progress, and the pauses between them.
        limit: Bytes that the file may have.
        kind: What the task makes, to judge the bytes by.
        what: The file in words, for errors.
        on_progress: Called with the bytes that are there and the bytes in all (None if unknown).
        dice: Gives the jitter of the pauses, in [0, 1].
    """

    transport: Transport
    sink: Sink
    retry: Retry
    limit: int
    kind: str | None
    what: str
    on_progress: Callable[[int, int | None], None]
    dice: Callable[[], float] = random.random

    received: int = attrs.field(default=0, init=False)
    tries: int = attrs.field(default=0, init=False)
    resumed: int = attrs.field(default=0, init=False)
    extension: str = attrs.field(default="bin", init=False)
    _furthest: int = attrs.field(default=0, init=False)
    _total: int | None = attrs.field(default=None, init=False)
    _validator: str | None = attrs.field(default=None, init=False)
    _source: str | None = attrs.field(default=None, init=False)
    _head: bytes = attrs.field(default=b"", init=False)
    _tail: bytes = attrs.field(default=b"", init=False)
    _block: list[bytes] = attrs.field(factory=list[bytes], init=False)
    _pending: int = attrs.field(default=0, init=False)

    async def run(self, link: str) -> None:
        """Fetch until the file is whole.

        Raises:
            LinkRefusedError: The server answers that there is no such file for us.
            DownloadError: Too often no progress, or something that no repetition would mend.
        """
        url = self._checked(link)
        source = shown(url)
        if self._source != source:
            # Another file by the same server may have the same length; its validator is its own.
            await self._start_over()
            self._source = source
        failures = 0
        while True:
            before = self._furthest
            trouble = await self._try(url)
            self.tries += 1
            if trouble is None:
                return
            failures = 1 if self._furthest > before else failures + 1
            if failures >= self.retry.attempts or self.tries >= MOST_TRIES:
                raise DownloadError(
                    f"{self.what}: {trouble.words}; given up after {self.tries} "
                    f"{'try' if self.tries == 1 else 'tries'} at {self.received} bytes"
                ) from trouble.cause
            pause = backoff(
                failures,
                first=self.retry.first,
                longest=self.retry.longest,
                jitter=self.dice(),
            )
            await anyio.sleep(max(pause, trouble.retry_after or 0.0))

    def _checked(self, link: str, base: URL | None = None) -> URL:
        loopback = is_loopback(self.transport.base_url.host)
        try:
            if base is not None:
                return next_hop(base, link, loopback=loopback)
            return check_link(link, loopback=loopback)
        except ValueError as error:
            raise DownloadError(f"{self.what}: {error}") from None

    async def _try(self, url: URL) -> _Trouble | None:
        headers = range_headers(self.received, self._validator)
        if not headers:
            await self._start_over()
        try:
            for _ in range(MOST_REDIRECTS + 1):
                async with self.transport.stream(url, headers) as response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        return await self._take(response)
                url = self._checked(location, url)
        except APIConnectionError as error:
            await self._keep()
            return _Trouble(str(error), cause=error)
        raise DownloadError(f"{self.what}: more than {MOST_REDIRECTS} redirects")

    async def _take(self, response: ClientResponse) -> _Trouble | None:
        status = response.status
        if status in _LINK_REFUSED:
            raise LinkRefusedError(f"the link was refused with HTTP {status}")
        if status in _MAY_PASS or status >= 500:  # noqa: PLR2004
            return _Trouble(f"HTTP {status}", retry_after=_asked_to_wait(response))
        if status == _RANGE_NOT_SATISFIABLE and self.received:
            return await self._useless("the server has no more of this file")
        if status not in {200, 206}:
            raise DownloadError(f"{self.what}: HTTP {status} from {shown(response.url)}")
        found = self._opening(response)
        if found is None:
            return await self._useless("the server sent another part than was asked for")
        if found.start == 0:
            await self._start_over()
            self._validator = None if _is_encoded(response) else _validator(response)
        else:
            self.resumed += 1
        self._total = found.total
        return await self._receive(response, found)

    def _opening(self, response: ClientResponse) -> Opening | None:
        headers, encoded = response.headers, _is_encoded(response)
        return opening(
            response.status,
            asked=self.received,
            total=self._total,
            validator=self._validator,
            etag=headers.get("ETag"),
            # Lengths and parts of a compressed body say nothing of the file.
            content_range=None if encoded else headers.get("Content-Range"),
            content_length=None if encoded else response.content_length,
        )

    async def _receive(self, response: ClientResponse, found: Opening) -> _Trouble | None:
        self._check_size(found.total or 0)
        announced = self.received
        while chunk := await response.content.readany():
            self._block.append(chunk)
            self._pending += len(chunk)
            there = self.received + self._pending
            self._check_size(there)
            if found.end is not None and there > found.end:
                return await self._useless("the server sent more than it announced")
            self._tail = (self._tail + chunk[-TAIL:])[-TAIL:]
            if len(self._head) < HEAD:
                self._head += chunk[: HEAD - len(self._head)]
                # At once, so that a page in place of a film is not read to its end.
                if len(self._head) == HEAD and (wrong := objection(self.kind, self._head)):
                    return await self._useless(wrong)
            if self._pending >= BLOCK or len(self._block) >= MOST_CHUNKS:
                await self._keep()
            if there - announced >= STEP:
                announced = there
                self.on_progress(there, self._total)
        await self._keep()
        return await self._ended(response)

    async def _ended(self, response: ClientResponse) -> _Trouble | None:
        if self.received == 0:
            return _Trouble("the file is empty")
        if self._total is not None and self.received < self._total:
            return _Trouble(f"only {self.received} of {self._total} bytes came")
        if wrong := objection(self.kind, self._head):
            return await self._useless(wrong)
        if not is_whole(self._head, self._tail, self.received):
            if self._total is not None:
                return await self._useless("it stops before the end that its format demands")
            return _Trouble("it was cut short")
        self.extension = extension_for(
            self._head, response.headers.get("Content-Type"), response.url.path
        )
        self.on_progress(self.received, self.received)
        return None

    async def _keep(self) -> None:
        block, size = self._block, self._pending
        if block:
            self._block, self._pending = [], 0
            self.received += size
            self._furthest = max(self._furthest, self.received)
            await self.sink.write(block)

    async def _useless(self, words: str) -> _Trouble:
        await self._start_over()
        return _Trouble(words)

    async def _start_over(self) -> None:
        self._block, self._pending = [], 0
        if self.received > 0:
            await self.sink.restart()
        self.received, self._total, self._validator = 0, None, None
        self._head = self._tail = b""

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise DownloadError(
                f"{self.what}: it is larger than the {self.limit // 2**20} MiB that are taken"
            )


def _is_encoded(response: ClientResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in {
        "",
        "identity",
    }


def _validator(response: ClientResponse) -> str | None:
    headers = response.headers
    return validator_of(headers.get("ETag"), headers.get("Last-Modified"), headers.get("Date"))


def _asked_to_wait(response: ClientResponse) -> float | None:
    headers = response.headers
    return parse_retry_after(
        headers.get("Retry-After"), now=datetime.now(UTC), date=headers.get("Date")
    )
