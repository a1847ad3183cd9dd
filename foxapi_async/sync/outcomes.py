"""The outcomes of ``map``, without ``await``; the input is read in the thread of the caller."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final

from foxapi_async import mapping
from foxapi_async.errors import FoxAPIError
from foxapi_async.map_input import Item
from foxapi_async.outcome import Outcome
from foxapi_async.sync.loop_thread import LOOKS, LoopCall, LoopThread

_Question = Future[Any]
"""The loop asks for the next item of the input; `_END` says that there is none."""

_END: Final = object()


class OutcomeIterator(Iterator[Outcome]):
    """The outcomes of ``map``, each as soon as it is known; see `foxapi_async.Session.map`.

    Nothing is read from the input, and nothing is submitted, before the first outcome is asked for.
    The input is read in the thread that asks, while it waits: so the input may call the session, and
    may use what belongs to that thread. After a ``break``, or after `close`, nothing more is
    submitted; tasks in flight stay in ``session.in_flight``. Several threads may share one iterator.
    """

    def __init__(
        self,
        loop_thread: LoopThread,
        start: Callable[[AsyncIterator[Item]], mapping.OutcomeIterator],
        requests: Iterable[Item],
    ) -> None:
        self._loop_thread = loop_thread
        self._input: Iterator[Item] = iter(requests)
        # Questions, and None when the outcome that a thread waits for is there.
        self._inbox: SimpleQueue[_Question | None] = SimpleQueue()
        self._outcomes = loop_thread.call(start, _asked(self._inbox))
        self._lock = threading.RLock()
        self._is_closed = False

    def __next__(self) -> Outcome:
        with self._lock:
            if self._is_closed:
                raise StopIteration
            call = LoopCall(self._next)
            try:
                self._loop_thread.start(call)
                while (question := self._receive()) is not None:
                    self._answer(question)
                call.wait()
            except FoxAPIError:
                raise
            except BaseException:
                self._loop_thread.cancel(call)
                self.close()
                raise
            outcome = call.result()
        if outcome is None:
            raise StopIteration
        return outcome

    @property
    def stopped_by(self) -> FoxAPIError | None:
        """Why nothing more is submitted; None while everything is."""
        return self._outcomes.stopped_by

    def close(self) -> None:
        """Submit nothing more, and end the iteration when the POSTs under way have been answered."""
        self._is_closed = True
        if self._loop_thread.is_open:
            self._loop_thread.run_to_end(self._close)

    async def _close(self) -> None:
        await self._outcomes.aclose()
        await self._outcomes.wait_for_posts()

    async def _next(self) -> Outcome | None:
        try:
            return await anext(self._outcomes, None)
        finally:
            self._inbox.put(None)

    def _receive(self) -> _Question | None:
        while True:
            try:
                return self._inbox.get(timeout=LOOKS)
            except Empty:
                continue

    def _answer(self, question: _Question) -> None:
        if not question.set_running_or_notify_cancel():
            return  # nothing is read any more
        try:
            item = next(self._input, _END)
        except Exception as error:  # noqa: BLE001 - follows after the outcomes of the tasks in flight
            question.set_exception(error)
        else:
            question.set_result(item)


async def _asked(inbox: SimpleQueue[_Question | None]) -> AsyncIterator[Item]:
    """Ask for one item after the other."""
    while True:
        question: _Question = Future()
        inbox.put(question)
        item = await asyncio.wrap_future(question)
        if item is _END:
            return
        yield item
