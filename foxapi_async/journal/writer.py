"""The write queue: operations of many coroutines share one transaction and one fsync.

Why sqlite3 in one thread of our own and not aiosqlite: aiosqlite sends every statement to its thread
and back, a dozen switches for one submission, and its statements cannot share a transaction with
those of other coroutines without the same bookkeeping as here. The cost is in the switches and the
fsyncs. Here a batch goes to the thread as a whole and comes back as a whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self, TypeGuard, TypeVar

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal.backend import Backend, Database
from foxapi_async.journal.entry import JournalStatus, text_of
from foxapi_async.journal.operations import Operation, Transition

_log = logging.getLogger("foxapi_async.journal")
_server_log = logging.getLogger("foxapi_async.journal.server")
"""What concerns whoever runs the server; the command line shows it."""

_T = TypeVar("_T")
_A = TypeVar("_A")

_LAZY: Final = 0.5
"""Seconds until an operation is written that nobody waits for."""

_forked: Final[list[Writer]] = []
"""Copies made by a fork. They must not be closed: SQLite would take them for its last user, and a server
would end the session of the parent."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
"""Seconds between attempts to reach a server that is away."""
PATIENCE: Final = 900.0
"""Seconds for which writes wait for it, as long as `Retry.patience` allows by default."""
_CLOSING: Final = 15.0
"""Seconds in which the last batch must end when the journal is closed; then its connection is cut."""
_LONGEST_CALL: Final = 30.0
"""Seconds for any batch or query; then its connection is cut, because what answers may have stalled."""


class Writer:
    """The database in a thread of its own, and the queue to it from one event loop."""

    def __init__(self, backend: Backend, database: Database, thread: ThreadPoolExecutor) -> None:
        self._backend: Final = backend
        self._database: Final = database
        self._thread: Final = thread
        self._loop: Final = asyncio.get_running_loop()
        self._process: Final = os.getpid()
        self._queue: list[Operation] = []
        self._held: list[Operation] = []
        self._outage: Outage | None = None
        self._is_awaited = False
        self._has_ids = False
        self._has_failed = False
        self._batch: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._batching: Final = Batching()
        self._closed = False
        self._is_closing = False
        self.commits: int = 0
        """Batches written so far."""

    @classmethod
    async def open(cls, backend: Backend) -> Self:
        """Open the database in a new thread; ConfigurationError if it cannot be used."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="foxapi-journal")
        opening = thread.submit(backend.connect)
        try:
            return cls(backend, await asyncio.wrap_future(opening), thread)
        except BaseException as error:
            # Cancelling the wait does not stop the thread: it closes what it has opened by then.
            thread.submit(_close_opened, opening)
            thread.shutdown(wait=False)
            if backend.is_failure(error):
                raise backend.explain(error) from error
            raise

    async def aclose(self) -> None:
        """Write the queue, log what cannot be written, and close the database."""
        self._is_closing = True
        self.stop_waiting()
        cutting = self._loop.call_later(_CLOSING, self._database.cut)
        try:
            await self.flush()
        finally:
            # Also if the caller was cancelled: the next opening must find the journal complete.
            self.flush_now()
            self._closed = True
            self._stop_timer()
            for operation in [*self._held, *self._queue]:
                _log.error("%s: not written: %s", self._backend.label, operation)
            closing = self._loop.run_in_executor(self._thread, self._database.close)
            self._thread.shutdown(wait=False)
            await closing
            cutting.cancel()

    @property
    def is_here(self) -> bool:
        """Whether the running event loop is the one in which this was opened."""
        try:
            return asyncio.get_running_loop() is self._loop and self._process == os.getpid()
        except RuntimeError:
            return False

    def close_if_orphaned(self) -> bool:
        """Return whether the event loop is closed or in another process; then close the database."""
        if self._process != os.getpid():
            _forked.append(self)
            return True
        if self._loop.is_closed():
            self._thread.submit(self._database.close)
            self._thread.shutdown(wait=True)
            return True
        return False

    def put(self, operation: Operation) -> None:
        """Have an operation written within about a second; the order is kept."""
        if self._closed:
            _log.error("%s is closed; not written: %s", self._backend.label, operation)
            return
        self._queue.append(operation)
        self._schedule()

    async def write(self, operation: Operation) -> None:
        """Write an operation; return when it is durable. Cancelling ends the wait, not the write."""
        if self._closed:
            raise ConfigurationError(f"{self._backend.label} is closed; not written: {operation}")
        operation.done = done = self._loop.create_future()
        self._is_awaited = True
        self._has_ids = self._has_ids or _has_task_id(operation)
        self.put(operation)
        # Not `await done`: a cancelled caller would cancel the future that tells whether it has the key.
        await asyncio.wait([done])
        done.result()

    async def read(self, query: Callable[[Database], _T]) -> _T:
        """Return the answer to a query that is asked when the queue is written."""
        outage: Outage | None = None
        while True:
            await self.flush()
            try:
                return await self._call(query, self._database)
            except Exception as error:
                if not self._backend.is_failure(error):
                    raise
                outage = outage or Outage(self._loop.time())
                is_over = outage.is_over or (self._outage is not None and self._outage.is_over)
                if is_over or self._closed or not self._backend.is_outage(error):
                    raise self._backend.explain(error) from error
                now = self._loop.time()
                await asyncio.sleep(outage.note_attempt(now, error) - now)

    async def flush(self) -> None:
        """Write the queue; facts that could not be written before are tried once more."""
        if self._batch is not None:
            await asyncio.wait([self._batch])
        self._start_batch()
        if self._batch is not None:
            await asyncio.wait([self._batch])

    def flush_now(self) -> None:
        """Write the queue and block the event loop meanwhile, for callers that read the database next.

        While its server is away this does nothing.
        """
        if self._outage is not None:
            return
        # A failed batch is reported by its callback, and the queue must stay behind it.
        if self._batch is not None:
            self._wait_for(self._thread.submit(bool))  # the thread has one job at a time
            if self._has_failed:
                return
        if batch := self._take_queue():
            self._report(batch, self._wait_for(self._thread.submit(self._apply, batch)))

    def stop_waiting(self) -> None:
        """Fail what waits for a server that is away; tell and log the ids that could not be written."""
        if self._outage is not None:
            self._outage.is_over = True
            if self._batch is None:
                self._report([*self._take_queue(), *self._take_queue()], self._outage.reason)

    def _schedule(self) -> None:
        # The end of a batch schedules the next one.
        if self._batch is not None or not (self._queue or self._held):
            return
        if self._outage is not None:
            due = self._outage.next_attempt
        elif self._is_awaited:
            due = self._batching.due(len(self._queue), has_ids=self._has_ids)
        else:
            due = self._loop.time() + _LAZY
        if self._timer is not None and self._timer_due <= due:
            return
        self._stop_timer()
        # Even if it is due: coroutines that are ready to run may add to the batch.
        self._timer = self._loop.call_at(due, self._start_batch)
        # Not all event loops have TimerHandle.when().
        self._timer_due = due

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_batch(self) -> None:
        self._stop_timer()
        if self._batch is not None or not (batch := self._take_queue()):
            return
        awaited = sum(operation.done is not None for operation in batch)
        self._batching.note_commit(self._loop.time(), awaited)
        self._batch = self._call(self._apply, batch)
        # Added before anybody can wait for the batch, so callers of flush() see its results.
        self._batch.add_done_callback(lambda done: self._end_batch(batch, done.exception()))

    def _call(self, function: Callable[[_A], _T], argument: _A) -> asyncio.Future[_T]:
        """Call a function in the thread; cut the connection if that takes too long."""
        future = self._loop.run_in_executor(self._thread, function, argument)
        cutting = self._loop.call_later(_LONGEST_CALL, self._database.cut)
        future.add_done_callback(lambda _: cutting.cancel())
        return future

    def _wait_for(self, future: Future[Any]) -> BaseException | None:
        """Block until a call in the thread has ended, and return its error."""
        while True:
            try:
                return future.exception(_LONGEST_CALL)
            except TimeoutError:
                self._database.cut()

    def _apply(self, batch: list[Operation]) -> None:
        self._has_failed = True
        self._database.apply(batch)
        self._has_failed = False

    def _take_queue(self) -> list[Operation]:
        """Return what is to be written next: first of all, exactly what an outage has held up."""
        if self._held:
            batch, self._held = self._held, []
            return batch
        batch, self._queue = self._queue, []
        self._is_awaited = self._has_ids = False
        return batch

    def _end_batch(self, batch: list[Operation], error: BaseException | None) -> None:
        self._batch = None
        self._report(batch, error)
        self._schedule()

    def _report(self, batch: list[Operation], error: BaseException | None) -> None:
        if error is None:
            self.commits += 1
            self._end_outage()
        elif self._backend.is_outage(error) and self._begin_outage(error):
            self._held = batch
            self._schedule()
            return
        else:
            # In front of the queue, so that the transitions of an entry stay in order.
            facts = [operation for operation in batch if operation.is_fact]
            self._queue[:0] = facts
            reason, failed = self._backend.explain(error), len(batch) - len(facts)
            if failed or self._outage is None:
                _log.error("%s; %d writes failed, %d will be retried", reason, failed, len(facts))
        for operation in batch:
            failure = operation.error if error is None else self._failure(operation, error)
            done, operation.done = operation.done, None
            if failure is not None and (error is None or (_has_task_id(operation) and done)):
                _log.error("%s", failure)
            if done is None:
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
                # Marks it as retrieved: the caller may have been cancelled.
                done.exception()

    def _begin_outage(self, error: BaseException) -> bool:
        """Return whether the batch that failed waits for the server, which is away."""
        now = self._loop.time()
        if self._outage is None:
            self._outage = Outage(now)
            _server_log.warning(
                "%s; submissions pause until it can be written again, tasks in flight go on",
                self._backend.explain(error),
            )
        self._outage.note_attempt(now, error)
        return not (self._outage.is_over or self._is_closing)

    def _end_outage(self) -> None:
        if self._outage is not None:
            seconds = self._loop.time() - self._outage.since
            _server_log.warning(
                "%s can be written again after %.3g s", self._backend.label, seconds
            )
            self._outage = None

    def _failure(self, operation: Operation, error: BaseException) -> FoxAPIError | None:
        reason: FoxAPIError = self._backend.explain(error)
        if _has_task_id(operation):
            failure = FoxAPIError(
                f"task {operation.task_id} (key {text_of(operation.new.key)!r}) exists and is billed, "
                f"but {reason}. Its id is kept in memory and written "
                "again later; session.attach(task_id) waits for the task",
                task_id=operation.task_id,
            )
        elif operation.is_fact:
            return None
        else:
            failure = error.again() if isinstance(error, FoxAPIError) else reason
        failure.__cause__ = error
        return failure


class Outage:
    """The time during which the server of a journal is away."""

    def __init__(self, since: float) -> None:
        self.since: Final = since
        self.next_attempt: float = since
        self.is_over: bool = False
        """Whether nothing waits for the server any more."""
        self.reason: BaseException | None = None
        self._pause = _FIRST_PAUSE

    def note_attempt(self, now: float, error: BaseException) -> float:
        """Record an attempt that failed, and return when to try again."""
        self.reason = error
        self.is_over = self.is_over or now - self.since >= PATIENCE
        self.next_attempt = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return self.next_attempt


def _close_opened(opening: Future[Database]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _has_task_id(operation: Operation) -> TypeGuard[Transition]:
    return isinstance(operation, Transition) and operation.after is JournalStatus.ACCEPTED


FULL_BATCH: Final = 64
"""Operations that are written without waiting for more: one in a batch of 64 costs half of one in a
batch of 16; with 100 it is hardly less."""
_INTERVAL: Final = 0.08
_INTERVAL_WITH_IDS: Final = 0.03
"""Seconds between commits while batching. A submission waits for two or three commits, which is short
compared with a task. Ids wait less: a process that is killed meanwhile loses them."""
_BURST: Final = 8
_BURST_SECONDS: Final = 0.08
"""So many commits in so many seconds (100 per second) start batching."""
_USEFUL_BATCH: Final = 3
_MAX_USELESS: Final = 3
"""So many consecutive batches of fewer operations end batching."""
_RETRY_AFTER: Final = 1.0
"""Seconds until batching is tried again."""
_IDLE: Final = 0.5
"""Seconds without a commit after which earlier commits are ignored."""


class Batching:
    """Decides whether the next commit is due at once or waits for more operations.

    A commit costs as much CPU as a dozen operations. With many concurrent submissions, a short wait
    makes one commit of several; a caller that submits one by one would only get slower. Only trying
    tells: a burst of commits starts batching, and batching without effect pauses for a while.
    """

    def __init__(self) -> None:
        self._commits: Final[deque[float]] = deque(maxlen=_BURST)
        self._is_on = False
        self._useless = 0
        self._not_before = float("-inf")

    def due(self, waiting: int, *, has_ids: bool = False) -> float:
        """Return when a commit of ``waiting`` operations is due; ids of new tasks wait less."""
        if not self._is_on or waiting >= FULL_BATCH:
            return float("-inf")
        return self._commits[-1] + (_INTERVAL_WITH_IDS if has_ids else _INTERVAL)

    def note_commit(self, now: float, size: int) -> None:
        """Record a commit of ``size`` operations that somebody waits for."""
        if self._commits and now - self._commits[-1] > _IDLE:
            self._commits.clear()
            self._is_on = False
        self._commits.append(now)
        if not self._is_on:
            is_burst = len(self._commits) == _BURST and now - self._commits[0] <= _BURST_SECONDS
            self._is_on = is_burst and now >= self._not_before
            self._useless = 0
        elif size >= _USEFUL_BATCH:
            self._useless = 0
        else:
            self._useless += 1
            if self._useless == _MAX_USELESS:
                self._is_on = False
                self._not_before = now + _RETRY_AFTER
