"""Draws result files in worker threads on the first request, and caches the latest."""

from __future__ import annotations

from collections import OrderedDict

import anyio
import anyio.to_thread
from attrs import define, field

from foxapi_async.emulator import media
from foxapi_async.emulator.pictures import Picture, draw

_KEPT_BYTES = 64 * 2**20
_AT_ONCE = 2
"""Drawing is CPU-bound, so more threads would only slow down the server."""


@define(eq=False)
class Gallery:
    """Caches pictures; drawing the same one again gives the same bytes."""

    _kept: OrderedDict[Picture, bytes] = field(factory=OrderedDict[Picture, bytes])
    _size: int = 0
    _turns: anyio.Semaphore = field(factory=lambda: anyio.Semaphore(_AT_ONCE))

    async def picture(self, picture: Picture) -> bytes:
        """Return a picture from the cache, or draw it."""
        async with self._turns:
            content = self._kept.get(picture)
            if content is None:
                content = await anyio.to_thread.run_sync(draw, picture)
        if picture not in self._kept:
            self._kept[picture] = content
            self._size += len(content)
        self._kept.move_to_end(picture)
        while self._size > _KEPT_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])
        return content


def other_file(kind: str, words: str) -> tuple[bytes, str]:
    """Return content and content type of a result that is not a picture."""
    if kind == "video":
        return media.film(), "video/mp4"
    if kind == "audio":
        return media.tone(), "audio/wav"
    return media.archive(words), "application/zip"


def extension(kind: str, picture_format: str) -> str:
    """Return the extension of a result file."""
    return {"video": "mp4", "audio": "wav", "document": "zip"}.get(kind, picture_format)
