"""Files in both directions: what moves them is loaded when the first one is to be moved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from foxapi_async._concurrency import run_in_thread
from foxapi_async.api import Calls
from foxapi_async.events import EventEmitter
from foxapi_async.http.transport import Transport
from foxapi_async.models import Task
from foxapi_async.options import Retry

if TYPE_CHECKING:
    from foxapi_async.files.download import Downloads
    from foxapi_async.files.upload import Uploads

__all__ = ["Transfers"]


class Transfers:
    """The downloads and uploads of a session.

    Args:
        transport: What opens links, and takes uploads.
        calls: What repeats uploads.
        retry: Tries of a download without progress, and the pauses between them.
        announce: Takes the events of downloads.
        at_once: Files that are fetched at once.
        refresh: Asks for a task again, for the sake of fresh links.
    """

    def __init__(
        self,
        transport: Transport,
        calls: Calls,
        *,
        retry: Retry,
        announce: EventEmitter,
        at_once: int,
        refresh: Callable[[str], Awaitable[Task]],
    ) -> None:
        self._transport = transport
        self._calls = calls
        self._retry = retry
        self._announce = announce
        self._at_once = at_once
        self._refresh = refresh
        self._downloads: Downloads | None = None
        self._uploads: Uploads | None = None

    @property
    def files(self) -> int:
        """Files that were fetched whole."""
        return 0 if self._downloads is None else self._downloads.tally.files

    @property
    def bytes(self) -> int:
        """Bytes that were fetched."""
        return 0 if self._downloads is None else self._downloads.tally.bytes

    async def downloads(self) -> Downloads:
        """Return what fetches files."""
        if self._downloads is None:
            kind, _ = await run_in_thread(_load)
            if self._downloads is None:  # nobody else has made them meanwhile
                self._downloads = kind(
                    self._transport,
                    retry=self._retry,
                    announce=self._announce,
                    at_once=self._at_once,
                    refresh=self._refresh,
                )
        return self._downloads

    async def uploads(self) -> Uploads:
        """Return what stores files."""
        if self._uploads is None:
            _, kind = await run_in_thread(_load)
            self._uploads = kind(self._transport, self._calls)
        return self._uploads


def _load() -> tuple[type[Downloads], type[Uploads]]:
    # A fifth of what an import of ours costs, and who hands on the links of results needs none of
    # it. In a thread, because tasks may be in flight by now, and the event loop reads no files.
    from foxapi_async.files.download import Downloads  # noqa: PLC0415
    from foxapi_async.files.upload import Uploads  # noqa: PLC0415

    return Downloads, Uploads
