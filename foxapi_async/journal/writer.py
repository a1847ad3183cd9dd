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
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeGuard

from foxapi_async.errors import ConfigurationError, FoxAPIError
from foxapi_async.journal.connection import configuration_error, translated_errors
from foxapi_async.journal.entry import JournalStatus, text_of
from foxapi_async.journal.operations import Operation, Transition

if TYPE_CHECKING:
    from foxapi_async.journal.database import Database

_log = logging.getLogger("foxapi_async.journal")

_LAZY: Final = 0.5
"""Seconds until an operation is written that nobody waits for."""

_forked: Final[list[Writer]] = []
"""Copies made by a fork. They must not be closed: SQLite would take them for its last user."""


class Writer:
    """The database in a thread of its own, and the queue to it from one event loop."""

    def __init__(self, path: Path, database: Database, thread: ThreadPoolExecutor) -> None:
        self._path: Final = path
        self._database: Final = database
        self._thread: Final = thread
        self._loop: Final = asyncio.get_running_loop()
        self._process: Final = os.getpid()
        self._queue: list[Operation] = []
        self._is_awaited = False
        self._has_ids = False
        self._batch: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._batching: Final = Batching()
        self._closed = False
        self.commits: int = 0
        """Batches written so far."""

    @classmethod
    async def open(cls, path: Path, database_class: type[Database]) -> Self:
        """Open the database in a new thread; ConfigurationError if the file cannot be used."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="foxapi-journal")
        opening = thread.submit(database_class, path)
        with translated_errors(path):
            try:
                return cls(path, await asyncio.wrap_future(opening), thread)
            except BaseException:
                # Cancelling the wait does not stop the thread: it closes what it has opened by then.
                thread.submit(_close_opened, opening)
                thread.shutdown(wait=False)
                raise

    async def aclose(self) -> None:
        """Write the queue, log what cannot be written, and close the file."""
        try:
            await self.flush()
        finally:
            # Also if the caller was cancelled: the next opening must find the file complete.
            self.flush_now()
            self._closed = True
            self._stop_timer()
            for operation in self._queue:
                _log.error("journal %r: not written: %s", str(self._path), operation)
            closing = self._loop.run_in_executor(self._thread, self._database.close)
            self._thread.shutdown(wait=False)
            await closing

    @property
    def is_here(self) -> bool:
        """Whether the running event loop is the one in which this was opened."""
        try:
            return asyncio.get_running_loop() is self._loop and self._process == os.getpid()
        except RuntimeError:
            return False

    def close_if_orphaned(self) -> bool:
        """Return whether the event loop is closed or in another process; then close the file."""
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
            _log.error("journal %r is closed; not written: %s", str(self._path), operation)
            return
        self._queue.append(operation)
        self._schedule()

    async def write(self, operation: Operation) -> None:
        """Write an operation; return when it is durable. Cancelling ends the wait, not the write."""
        if self._closed:
            raise ConfigurationError(
                f"journal {str(self._path)!r} is closed; not written: {operation}"
            )
        operation.done = done = self._loop.create_future()
        self._is_awaited = True
        self._has_ids = self._has_ids or _has_task_id(operation)
        self.put(operation)
        # Not `await done`: a cancelled caller would cancel the future that tells whether it has the key.
        await asyncio.wait([done])
        done.result()

    async def recall(self, name: str) -> str | None:
        """Return the JSON of a remembered value."""
        await self.flush()
        with translated_errors(self._path):
            return await self._loop.run_in_executor(self._thread, self._database.recall, name)

    async def has_task(self, task_id: str) -> bool:
        """Return whether an entry has the task."""
        await self.flush()
        with translated_errors(self._path):
            return await self._loop.run_in_executor(self._thread, self._database.has_task, task_id)

    async def flush(self) -> None:
        """Write the queue; facts that could not be written before are tried once more."""
        if self._batch is not None:
            await asyncio.wait([self._batch])
        self._start_batch()
        if self._batch is not None:
            await asyncio.wait([self._batch])

    def flush_now(self) -> None:
        """Write the queue and block the event loop meanwhile, for callers that read the file next."""
        batch = self._take_queue()
        if batch:
            error = self._thread.submit(self._database.apply, batch).exception()
            self._report(batch, error)
        elif self._batch is not None:
            # The thread has one job at a time, so this waits for the batch.
            self._thread.submit(bool).result()

    def _schedule(self) -> None:
        # The end of a batch schedules the next one.
        if self._batch is not None:
            return
        if self._is_awaited:
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
        if not self._queue or self._batch is not None:
            return
        batch = self._take_queue()
        awaited = sum(operation.done is not None for operation in batch)
        self._batching.note_commit(self._loop.time(), awaited)
        self._batch = self._loop.run_in_executor(self._thread, self._database.apply, batch)
        # Added before anybody can wait for the batch, so callers of flush() see its results.
        self._batch.add_done_callback(lambda done: self._end_batch(batch, done.exception()))

    def _take_queue(self) -> list[Operation]:
        batch, self._queue = self._queue, []
        self._is_awaited = self._has_ids = False
        return batch

    def _end_batch(self, batch: Sequence[Operation], error: BaseException | None) -> None:
        self._batch = None
        self._report(batch, error)
        if self._queue:
            self._schedule()

    def _report(self, batch: Sequence[Operation], error: BaseException | None) -> None:
        if error is None:
            self.commits += 1
        else:
            # In front of the queue, so that the transitions of an entry stay in order.
            facts = [operation for operation in batch if operation.is_fact]
            self._queue[:0] = facts
            reason, failed = configuration_error(self._path, error), len(batch) - len(facts)
            _log.error("%s; %d writes failed, %d will be retried", reason, failed, len(facts))
        for operation in batch:
            failure = operation.error if error is None else self._failure(operation, error)
            if failure is not None and (error is None or _has_task_id(operation)):
                _log.error("%s", failure)
            done, operation.done = operation.done, None
            if done is None:
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
                # Marks it as retrieved: the caller may have been cancelled.
                done.exception()

    def _failure(self, operation: Operation, error: BaseException) -> FoxAPIError | None:
        reason: FoxAPIError = configuration_error(self._path, error)
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
