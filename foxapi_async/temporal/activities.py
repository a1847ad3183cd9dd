"""The activity that generates: it submits under a key, lets its slot go, and is completed later."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from foxapi_async import Session, Task, TaskHandle, errors
from foxapi_async._concurrency import Supervisor, finish_despite_cancellation, run_in_thread
from foxapi_async.files.object_path import ObjectPath, destination
from foxapi_async.journal.entry import JournalStatus
from foxapi_async.temporal.decisions import is_retried, result_of_error
from foxapi_async.temporal.held_activity import HeldActivity, handed_over
from foxapi_async.temporal.messages import (
    ACTIVITY,
    LONGEST_TEXT,
    Generation,
    GenerationResult,
)
from foxapi_async.temporal.result_files import ResultFiles

_log = logging.getLogger("foxapi_async")

_WAITING: Final = 64
"""Completed tasks that may wait for their files; beyond that nothing is submitted."""

_INTERVAL: Final = 10.0
_BEATS: Final = 3
"""Seconds between two heartbeats where no timeout is set, and heartbeats within a timeout."""

_UNPAID: Final = frozenset({JournalStatus.PLANNED, JournalStatus.REJECTED})

BringHome = Callable[[], Awaitable[GenerationResult | ApplicationError]]

SHORTEST_NOTICE: Final = 2.0
"""Seconds after which an activity that has not sent its POST learns that it shall not."""

_LONGEST_URL: Final = 2048  # Characters in a result; inline content is left out


class Activities:
    """The activities of a session; enter it with ``async with``, around a Temporal worker that has ``all``.

    Leaving it gives the activities whose tasks are in flight back to other workers.

    Args:
        client: The connection to Temporal, also for heartbeats and completions.
        session: An open session with a journal, which all workers share.
        directory: Where files go whose generation names no directory; None to save nothing for those
            and to return links, which expire.

    Raises:
        ConfigurationError: The session has no journal.
    """

    def __init__(
        self,
        client: Client,
        session: Session,
        *,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if session.journal is None:
            raise errors.ConfigurationError(
                "a worker needs a journal, which all workers share: without one an activity that is "
                "run again would be paid for again"
            )
        self._client = client
        self._session = session
        self._journal = session.journal
        folder = None if directory is None else destination(directory)
        if folder is not None and not isinstance(folder, ObjectPath):
            folder = folder.absolute()  # a later chdir would make it another directory
        self._files = ResultFiles(session, self._journal, folder)
        self._room = anyio.Semaphore(session.limits.outputs + _WAITING)
        self._held = Supervisor()
        self.failed: asyncio.Event = asyncio.Event()
        """Set when the session has ended, so that this worker can do nothing more."""

    @property
    def all(self) -> list[Callable[..., Any]]:
        """The activities, for ``Worker(activities=…)``."""
        return [self.generate]

    async def __aenter__(self) -> Self:
        await self._held.group.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.cancel()
        await self._held.group.__aexit__(None, None, None)

    @activity.defn(name=ACTIVITY)
    async def generate(self, generation: Generation) -> GenerationResult:
        """Generate what is wanted; return what became of it.

        Whatever cannot end otherwise is a result. An outage raises, so that Temporal tries again.
        """
        info = activity.info()
        known = next((each for each in info.heartbeat_details if isinstance(each, str)), None)
        timeout = info.heartbeat_timeout
        interval = timeout.total_seconds() / _BEATS if timeout else _INTERVAL
        async with _heartbeats(min(interval, SHORTEST_NOTICE), known):
            await self._room.acquire()
            try:
                # Before anything is paid for.
                directory = self._files.directory_for(generation.directory)
                handle = await self._submit_despite_cancellation(generation, known)
            except BaseException as error:
                self._room.release()
                if isinstance(error, errors.FoxAPIError):
                    return _result_of(self._end_of(generation, error, info.attempt))
                raise
        held = HeldActivity(
            generation.key,
            handle.id,
            interval,
            self._client.get_async_activity_handle(task_token=info.task_token),
        )
        self._held.start(
            self._hold, held, partial(self._bring_home, handle, generation, directory, info.attempt)
        )
        return activity.raise_complete_async()

    async def _submit_despite_cancellation(
        self, generation: Generation, known: str | None
    ) -> TaskHandle:
        try:
            return await self._submit(generation, known)
        except asyncio.CancelledError:
            # A POST under way was finished. If the workflow only wants nothing more to be submitted,
            # what is paid for is brought home. Another worker does that if this one ends.
            details = activity.cancellation_details()
            if details is None or not details.cancel_requested:
                raise
            found = await self._journal.lookup([generation.key])
            entry = found.get(generation.key)
            if entry is None or entry.status in _UNPAID:
                raise
            return await self._submit(generation, known)

    async def _submit(self, generation: Generation, known: str | None) -> TaskHandle:
        """Submit, or attach to the task of the key; ``known`` is the id that an earlier attempt had."""
        request, key = generation.request, generation.key
        try:
            return await self._session.submit(request, key=key)
        except errors.SubmissionUnknownError:
            if known is None:
                raise
            # Its journal could not record the id before its worker died.
            await run_in_thread(self._journal.resolve, key, known)
            return await self._session.submit(request, key=key)
        except errors.FoxAPIError as error:
            if error.task_id is None:
                raise
            return self._session.attach(error.task_id)  # the same: the journal records it later

    async def _hold(self, held: HeldActivity, bring_home: BringHome) -> None:
        try:
            await held.run(bring_home)
        finally:
            self._room.release()

    async def _bring_home(
        self, handle: TaskHandle, generation: Generation, directory: Path | None, attempt: int
    ) -> GenerationResult | ApplicationError:
        try:
            task = await handle.wait()
            return await self._save(task, generation, directory)
        except errors.FoxAPIError as error:
            return self._end_of(generation, error, attempt)
        except Exception as fault:  # noqa: BLE001 - another attempt is better than none
            _log.exception("task %s could not be brought home", handle.id)
            return _to_retry(generation, errors.FoxAPIError(repr(fault), task_id=handle.id))

    async def _save(
        self, task: Task, generation: Generation, directory: Path | None
    ) -> GenerationResult:
        data = [dict(output.data) for output in task.outputs if output.url is None]
        result = GenerationResult(
            key=generation.key, status="completed", task_id=task.id, data=data
        )
        if directory is None:
            urls = [output.url for output in task.outputs if output.url is not None]
            return replace(result, urls=[url for url in urls if len(url) <= _LONGEST_URL])
        files = await self._files.save(directory, generation.key, generation.request, task)
        return replace(result, files=files)

    def _end_of(
        self, generation: Generation, error: errors.FoxAPIError, attempt: int
    ) -> GenerationResult | ApplicationError:
        if isinstance(error, errors.SessionClosedError):
            self.failed.set()
        if is_retried(error, attempt):
            _log.info("key %r is tried again: %s", generation.key, error)
            return _to_retry(generation, error)
        if isinstance(error, errors.SubmissionUnknownError):
            _log.warning("%s", error)
        return result_of_error(generation.key, error)


def _result_of(end: GenerationResult | ApplicationError) -> GenerationResult:
    if isinstance(end, ApplicationError):
        raise end
    return end


def _to_retry(generation: Generation, error: errors.FoxAPIError) -> ApplicationError:
    text = f"{generation.key}: {error}"[:LONGEST_TEXT]
    if isinstance(error, errors.SessionClosedError):
        return handed_over()
    return ApplicationError(text, type=type(error).__name__)


@asynccontextmanager
async def _heartbeats(interval: float, task_id: str | None) -> AsyncGenerator[None, None]:
    """Send heartbeats within the block, with the id that an earlier attempt knew."""
    details = () if task_id is None else (task_id,)

    async def beat() -> None:
        while True:
            activity.heartbeat(*details)
            await anyio.sleep(interval)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await finish_despite_cancellation(lambda: asyncio.wait([beating]))
