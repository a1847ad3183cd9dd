"""Fetches one file over HTTP until it is complete: redirects, checks, retries and resumption.

Rules of resumption: RFC 9110, sections 13.1.5 (If-Range), 14.4 (Content-Range) and 8.8 (validators).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, Final

import anyio
import attrs
from aiohttp import ClientResponse
from yarl import URL

from foxapi_async._concurrency import run_in_thread
from foxapi_async.environment import is_loopback
from foxapi_async.errors import APIConnectionError, APITimeoutError, DownloadError
from foxapi_async.files.pace import (
    MIN_RATE,
    Pace,
    is_out_of_descriptors,
    pause_for_descriptors,
    run_with_descriptors,
)
from foxapi_async.files.partfile import Sink
from foxapi_async.files.sniff import HEAD, TAIL, extension_for, is_whole, objection
from foxapi_async.files.urls import check_link, next_hop, shown
from foxapi_async.http.outputs import absolute
from foxapi_async.http.transport import Transport
from foxapi_async.options import Retry
from foxapi_async.retry import backoff, parse_retry_after

BLOCK: Final = 512 * 1024
"""Bytes per write: a hop to a worker thread costs as much as writing some 100 KiB, and with 1 MiB
the kernel took 1.4 ms more for a file of 2 MiB (ext4, in a virtual machine)."""

PROGRESS_STEP: Final = 256 * 1024
"""Bytes between two reports of progress."""

MAX_REDIRECTS: Final = 5
MAX_ATTEMPTS: Final = 64
"""Attempts for one file in all, however much progress each of them makes."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LINK_REFUSED: Final = frozenset({403, 404, 410})
_TRANSIENT: Final = frozenset({408, 425, 429})
_OK: Final = 200
_PARTIAL: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


class LinkRefusedError(Exception):
    """The link is not valid (any more), but another one may be; never leaves this package."""


@attrs.frozen
class BodyRange:
    """The bytes that a body covers: from ``start`` up to ``end`` of a file of ``total`` bytes.

    ``end`` and ``total`` are None if the server does not say.
    """

    start: int
    end: int | None
    total: int | None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what to send as ``If-Range``: a strong ETag, else a safe Last-Modified, else None."""
    etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
    if etag is not None and _STRONG_ETAG.fullmatch(etag):
        return etag
    if last_modified is None:
        return None
    try:
        modified = parsedate_to_datetime(last_modified)
        date = headers.get("Date")
        # A file that changed within the second of the response may change again within it.
        if date is not None and parsedate_to_datetime(date) - modified < timedelta(seconds=1):
            return None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return last_modified


def range_headers(received: int, validator: str | None) -> dict[str, str]:
    """Return the headers that ask for the missing bytes; none if the whole file is needed."""
    if received <= 0 or validator is None:
        return {}
    return {"Range": f"bytes={received}-", "If-Range": validator}


def body_range(
    status: int,
    headers: Mapping[str, str],
    *,
    received: int,
    total: int | None,
    validator: str | None,
) -> BodyRange | None:
    """Return which bytes a response (200 or 206) brings, or None if they do not continue what was received.

    ``received`` is the offset that was asked for, ``total`` the size that an earlier response told, and
    ``validator`` what was sent as ``If-Range``. The body is not compressed.
    """
    announced = headers.get("Content-Length")
    length = None if announced is None else int(announced)
    if status == _OK:
        return BodyRange(0, length, length)
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if status != _PARTIAL or received == 0 or match is None:
        return None
    start, end = int(match[1]), int(match[2]) + 1
    whole = total if match[3] == "*" else int(match[3])
    is_etag = (validator or "").startswith('"')
    continues = (
        start == received
        and start < end
        and (whole is None or end <= whole)
        and (total is None or whole == total)
        and (length is None or length == end - start)
        and (not is_etag or headers.get("ETag", validator) == validator)
    )
    return BodyRange(start, end, whole) if continues else None


@attrs.frozen(eq=False, repr=False)
class _Failure:
    """Why an attempt did not complete the file, though the next one may."""

    reason: str
    cause: Exception | None = None
    retry_after: float | None = None
    stalled: bool = False


@attrs.define(eq=False, repr=False)
class Fetch:
    """Fetches one file into a sink; ``retry`` counts attempts without progress.

    Each attempt holds one of the ``slots``. The pauses in between do not, so that servers that are
    slow or refuse cannot keep other files waiting.
    """

    transport: Transport
    sink: Sink
    slots: anyio.Semaphore
    retry: Retry
    limit: int  # bytes
    kind: str | None  # what the task makes ("image", "video", …), if that is known
    what: str  # the output in words, for errors
    on_progress: Callable[[int, int | None], None]  # bytes received, and size if that is known
    jitter: Callable[[], float] = random.random

    received: int = attrs.field(default=0, init=False)
    attempts: int = attrs.field(default=0, init=False)
    extension: str = attrs.field(default="bin", init=False)
    _furthest: int = attrs.field(default=0, init=False)
    _total: int | None = attrs.field(default=None, init=False)
    _validator: str | None = attrs.field(default=None, init=False)
    _source: str | None = attrs.field(default=None, init=False)
    _head: bytes = attrs.field(default=b"", init=False)
    _tail: bytes = attrs.field(default=b"", init=False)
    _block: bytearray = attrs.field(factory=bytearray, init=False)

    async def copy(self, path: Path) -> None:
        """Take the file from disk, where inline data was put; raise `DownloadError` if it is no output."""
        await self._start_over()
        opened: list[BinaryIO] = []
        try:
            # A cancellation would lose the result of the thread, but not the list.
            await run_with_descriptors(lambda: opened.append(path.open("rb", buffering=0)))
            while block := await run_in_thread(opened[0].read, BLOCK):
                self._head = self._head or block[:HEAD]
                self._tail = (self._tail + block[-TAIL:])[-TAIL:]
                self._block += block
                await self._flush()
        finally:
            for file in opened:
                await run_in_thread(file.close)
        wrong = objection(self.kind, self._head)
        if wrong is None and not is_whole(self._head, self._tail, self.received):
            wrong = "it is empty or cut short"
        if wrong is not None:
            raise DownloadError(f"{self.what}: what the server sent inline cannot be used: {wrong}")
        self.extension = extension_for(self._head, None, "")
        await self.sink.complete()
        self.on_progress(self.received, self.received)

    async def run(self, link: str) -> None:
        """Fetch until the file is complete; raise `LinkRefusedError` at a 403, 404 or 410, else `DownloadError`."""
        url = self._check(link)
        if self._source != shown(url):
            # A resumption must not mix two files; a validator is only valid for its own URL.
            await self._start_over()
            self._source = shown(url)
        failures = exhausted = 0
        while True:
            before = self._furthest
            async with self.slots:
                failure = await self._attempt(url)
                self.attempts += 1
                if failure is None:
                    await self.sink.complete()
                    return
            await self.sink.pause()
            if is_out_of_descriptors(failure.cause):
                exhausted += 1
                self.attempts -= 1  # it was none
                await pause_for_descriptors(exhausted)
                continue
            exhausted = 0
            # Progress resets the count: a large file may need many connections.
            failures = 1 if self._has_progressed(before, failure) else failures + 1
            if failures >= self.retry.attempts or self.attempts >= MAX_ATTEMPTS:
                raise DownloadError(
                    f"{self.what}: {failure.reason}; given up after {self.attempts} "
                    f"{'attempt' if self.attempts == 1 else 'attempts'} at {self.received} bytes; "
                    "the task is paid for and can be downloaded again"
                ) from failure.cause
            pause = backoff(
                failures, first=self.retry.first, longest=self.retry.longest, jitter=self.jitter()
            )
            await anyio.sleep(max(pause, failure.retry_after or 0.0))

    def _has_progressed(self, before: int, failure: _Failure) -> bool:
        # What drips in does not count, or a file of a byte per second would get every attempt.
        least = int(MIN_RATE * self.transport.timeout.stall) if failure.stalled else 1
        return self._furthest - before >= least

    def _check(self, link: str, base: URL | None = None) -> URL:
        loopback = is_loopback(self.transport.base_url.host)
        try:
            if base is None:
                return check_link(absolute(link, self.transport.base_url), loopback=loopback)
            return next_hop(base, link, loopback=loopback)
        except ValueError as error:
            raise DownloadError(f"{self.what}: {error}") from None

    async def _attempt(self, url: URL) -> _Failure | None:
        headers = range_headers(self.received, self._validator)
        # Without a validator there is no proof that the rest is of the same file.
        if not headers:
            await self._start_over()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with self.transport.stream(url, headers) as response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        return await self._take(response)
                # The API may redirect with the key in the address; it must not get to another host.
                url = self._check(self.transport.redacted(location), url)
        except APIConnectionError as error:
            await self._flush()  # the next attempt continues behind these bytes
            return _Failure(str(error), error, stalled=isinstance(error, APITimeoutError))
        raise DownloadError(f"{self.what}: more than {MAX_REDIRECTS} redirects")

    async def _take(self, response: ClientResponse) -> _Failure | None:
        status, headers = response.status, response.headers
        if status in _LINK_REFUSED:
            raise LinkRefusedError(f"the link was refused with HTTP {status}")
        if status in _TRANSIENT or status >= 500:  # noqa: PLR2004
            wait, now = headers.get("Retry-After"), datetime.now(UTC)
            wait_seconds = parse_retry_after(wait, now=now, date=headers.get("Date"))
            return _Failure(f"HTTP {status}", retry_after=wait_seconds)
        if status == _RANGE_NOT_SATISFIABLE and self.received:
            return await self._reject("the server has no more bytes of this file")
        if status not in {_OK, _PARTIAL}:
            raise DownloadError(f"{self.what}: HTTP {status} from {shown(response.url)}")
        is_encoded = headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}
        found = body_range(
            status,
            # The length and range of a compressed body are not those of the file.
            {} if is_encoded else headers,
            received=self.received,
            total=self._total,
            validator=self._validator,
        )
        if found is None:
            return await self._reject("the server sent other bytes than were asked for")
        if found.start == 0:
            await self._start_over()
            self._validator = None if is_encoded else validator_of(headers)
        self._total = found.total
        return await self._receive(response, found)

    async def _receive(self, response: ClientResponse, found: BodyRange) -> _Failure | None:
        self._check_size(found.total or 0)
        reported = self.received
        stall = self.transport.timeout.stall
        pace = Pace(stall)
        while True:
            asked = anyio.current_time()
            if not (chunk := await response.content.readany()):
                break
            self._block += chunk
            received = self.received + len(self._block)
            self._check_size(received)
            if found.end is not None and received > found.end:
                return await self._reject("the server sent more bytes than it announced")
            self._tail = (self._tail + chunk[-TAIL:])[-TAIL:]
            if len(self._head) < HEAD:
                self._head += chunk[: HEAD - len(self._head)]
                # Checked early, so that an error page in place of a film is not read to its end.
                if len(self._head) == HEAD and (wrong := objection(self.kind, self._head)):
                    return await self._reject(wrong)
            if len(self._block) >= BLOCK:
                await self._flush()
            if received - reported >= PROGRESS_STEP:
                reported = received
                self.on_progress(received, self._total)
            if pace.is_stalled(anyio.current_time() - asked, len(chunk)):
                await self._flush()
                return _Failure(f"less than {MIN_RATE} bytes/s for {stall:g} s", stalled=True)
        await self._flush()
        return await self._complete(response)

    async def _complete(self, response: ClientResponse) -> _Failure | None:
        if self.received == 0:
            return _Failure("the file is empty")
        if self._total is not None and self.received < self._total:
            return _Failure(f"only {self.received} of {self._total} bytes were received")
        if wrong := objection(self.kind, self._head):
            return await self._reject(wrong)
        if not is_whole(self._head, self._tail, self.received):
            # With its full length and no end it is damaged, so the bytes are useless; without a length
            # it was probably cut off and can be resumed.
            if self._total is not None:
                return await self._reject("it ends before the end that its format requires")
            return _Failure("it was cut short")
        self.extension = extension_for(
            self._head, response.headers.get("Content-Type"), response.url.path
        )
        self.on_progress(self.received, self.received)
        return None

    async def _flush(self) -> None:
        if block := self._block:
            # Counted before the write, which a cancellation interrupts but does not undo.
            self._block = bytearray()
            self.received += len(block)
            self._furthest = max(self._furthest, self.received)
            await self.sink.write(block)

    async def _reject(self, reason: str) -> _Failure:
        await self._start_over()
        return _Failure(reason)

    async def _start_over(self) -> None:
        self._block = bytearray()
        if self.received > 0:
            await self.sink.restart()
        self.received, self._total, self._validator = 0, None, None
        self._head = self._tail = b""

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise DownloadError(
                f"{self.what}: it is larger than the limit of {self.limit // 2**20} MiB"
            )
