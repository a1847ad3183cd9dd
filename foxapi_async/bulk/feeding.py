"""The input of a job's run: what the session must carry out, line by line; the rest is reported."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from foxapi_async._concurrency import run_in_thread
from foxapi_async.bulk.feed import Ask, Feed, Known
from foxapi_async.bulk.job import JobLine
from foxapi_async.bulk.result import Result
from foxapi_async.journal import Journal
from foxapi_async.requests import Request

__all__ = ["Feeding"]


class Feeding(AsyncIterator[tuple[str, Request]]):
    """Yields keys and requests; what the journal knows all about goes to ``reports``.

    No generator: that could be closed only while it does not run, and a reader who is cancelled
    leaves it in the middle of a thread's work.
    """

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        reports: MemoryObjectSendStream[Result],
        taken: Callable[[JobLine], None],
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._reports = reports
        self._taken = taken
        self._ahead: deque[Known | Ask] = deque()
        self._turn = anyio.Lock()
        self._closed = False

    async def __anext__(self) -> tuple[str, Request]:
        async with self._turn:
            while True:
                if not self._ahead and not self._closed:
                    self._ahead.extend(await run_in_thread(self._feed.next_batch))
                if not self._ahead:
                    raise StopAsyncIteration
                match self._ahead.popleft():
                    case Known(result):
                        await self._reports.send(result)
                    case Ask(line, forget, anew):
                        if forget is not None:
                            await run_in_thread(self._feed.forget, forget)
                        if anew is not None:
                            self._journal.resubmit(anew)
                        self._taken(line)
                        return line.key, line.request

    async def aclose(self) -> None:
        """Close the file, once nobody reads it."""
        with anyio.CancelScope(shield=True):
            async with self._turn:
                self._closed = True
                self._ahead.clear()
                await run_in_thread(self._feed.close)
