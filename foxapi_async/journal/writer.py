"""Many changes, one commit: what coroutines have to write is gathered while the disk is busy.

Why the standard library's sqlite3 in one thread of our own, and not aiosqlite: that sends every
single statement through a queue to its thread and back, so one submission would be a dozen thread
switches, and its statements could not share a transaction with those of other coroutines without the
same bookkeeping as here. What counts is the number of switches and of fsyncs, and both are one per
group: the group is handed to the thread as a whole and comes back as a whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeGuard

from foxapi_async.errors import FoxAPIError
from foxapi_async.journal.database import Store
from foxapi_async.journal.entry import text_of
from foxapi_async.journal.file_errors import configuration_error
from foxapi_async.journal.operations import Change, Claiming, Move
from foxapi_async.journal.pace import Pace
from foxapi_async.journal.transitions import JournalStatus

__all__ = ["GroupCommit"]

_LOG: Final = logging.getLogger("foxapi_async.journal")

_LAZY: Final = 0.5
"""Seconds that a change may wait for company if nobody waits for it."""


class GroupCommit:
    """The queue between the coroutines of one event loop and the store in its thread."""

    def __init__(self, path: Path, store: Store, thread: ThreadPoolExecutor) -> None:
        self._path: Final = path
        self._store: Final = store
        self._thread: Final = thread
        self._loop: Final = asyncio.get_running_loop()
        self._waiting: list[Change] = []
        self._urgent = False
        self._has_ids = False
        self._at_work: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._pace: Final = Pace()
        self.commits: int = 0
        """Groups that were written so far."""

    def put(self, change: Change) -> None:
        """Have a change written within about a second, in order."""
        self._waiting.append(change)
        self._plan()

    async def make(self, change: Change) -> None:
        """Write a change; return when it is durable.

        Cancelling takes the waiting away, not the change.

        Raises:
            FoxAPIError: It was not written.
        """
        change.done = self._loop.create_future()
        self._waiting.append(change)
        self._urgent = True
        self._has_ids = self._has_ids or _is_an_id(change)
        self._plan()
        await change.done

    async def flush(self) -> None:
        """Write all that waits, trying once what could not be written before."""
        if self._at_work is not None:
            await asyncio.wait([self._at_work])
        self._start()
        if self._at_work is not None:
            await asyncio.wait([self._at_work])

    def flush_now(self) -> None:
        """Write all that waits, blocking the event loop meanwhile, for those who look at the file."""
        if not self._waiting:
            return
        group, self._waiting, self._urgent, self._has_ids = self._waiting, [], False, False
        error = self._thread.submit(self._apply, group).result()
        self._tell(group, error)

    def give_up(self) -> None:
        """Stop, after a last try; say what was not written."""
        self.flush_now()
        if self._timer is not None:
            self._timer.cancel()
        for change in self._waiting:
            _LOG.error("journal %r: it was not written %s", str(self._path), change.in_words)

    def _plan(self) -> None:
        if self._at_work is not None:
            return
        if self._urgent:
            due = self._pace.due(len(self._waiting), has_ids=self._has_ids)
        else:
            due = self._loop.time() + _LAZY
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        # Even if it is due: the coroutines that are ready as well have something to say, too.
        self._timer = self._loop.call_at(due, self._start)
        self._timer_due = due  # the handles of some event loops do not tell

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting or self._at_work is not None:
            return
        group, self._waiting, self._urgent, self._has_ids = self._waiting, [], False, False
        self._pace.committing(self._loop.time(), sum(change.done is not None for change in group))
        self._at_work = self._loop.create_future()
        future = self._loop.run_in_executor(self._thread, self._apply, group)
        future.add_done_callback(lambda future: self._finished(group, future))

    def _apply(self, group: Sequence[Change]) -> Exception | None:
        try:
            self._store.apply(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the answer
            return error
        return None

    def _finished(self, group: Sequence[Change], future: asyncio.Future[Exception | None]) -> None:
        at_work, self._at_work = self._at_work, None
        self._tell(group, future.result())
        if at_work is not None:
            at_work.set_result(None)
        if self._waiting:
            self._plan()

    def _tell(self, group: Sequence[Change], error: Exception | None) -> None:
        if error is None:
            self.commits += 1
        else:
            self._keep_what_is_owed(group, error)
        for change in group:
            failure = change.error if error is None else self._failure(change, error)
            if failure is not None and error is None:
                _LOG.error("%s", failure)
            done, change.done = change.done, None
            if done is None:
                continue
            if done.cancelled():
                if isinstance(change, Claiming) and change.if_abandoned is not None:
                    change.if_abandoned()
            elif failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

    def _keep_what_is_owed(self, group: Sequence[Change], error: Exception) -> None:
        owed = [change for change in group if change.is_owed]
        self._waiting[:0] = owed
        why = configuration_error(self._path, error)
        for change in owed:
            if _is_an_id(change):
                _LOG.error(
                    "the task %s (key %r) exists and is billed, but could not be written down: %s. "
                    "It is kept in memory and tried again",
                    *(change.task_id, text_of(change.key), why),
                )
        _LOG.error(
            "%s; %d changes were refused, %d are kept", why, len(group) - len(owed), len(owed)
        )

    def _failure(self, change: Change, error: Exception) -> FoxAPIError | None:
        if _is_an_id(change):
            why = configuration_error(self._path, error)
            failure = FoxAPIError(
                f"the task {change.task_id} exists and is billed, but {why}. Its id is kept in memory "
                "and will be written when that is possible; session.attach(task_id) picks it up",
                task_id=change.task_id,
            )
        elif change.is_owed:
            return None
        elif isinstance(error, FoxAPIError):
            failure = error.again()
        else:
            failure = configuration_error(self._path, error)
        failure.__cause__ = error
        return failure


def _is_an_id(change: Change) -> TypeGuard[Move]:
    """Whether it records the id of a new task, which nobody else knows."""
    return isinstance(change, Move) and change.now is JournalStatus.ACCEPTED
