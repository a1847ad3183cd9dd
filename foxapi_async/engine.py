"""What runs while a session is open: its parts, put together, and the one task that owns them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import anyio

from foxapi_async._concurrency import Supervisor, finish_despite_cancellation, run_in_thread
from foxapi_async.api import Calls, ask
from foxapi_async.errors import (
    ConfigurationError,
    SessionClosedError,
    TaskCancelledError,
    TaskFailedError,
)
from foxapi_async.events import EventEmitter
from foxapi_async.files.digest import describe
from foxapi_async.files.service import Transfers
from foxapi_async.http.codec import read_task
from foxapi_async.http.responses import Answer
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import RateScheduler
from foxapi_async.limits.slots import OutputSlots
from foxapi_async.mapping import Item, Run
from foxapi_async.models import Output, Task
from foxapi_async.options import Limits, Polling, Retry
from foxapi_async.polling.advice import Advice
from foxapi_async.polling.poller import Poller
from foxapi_async.polling.tracked_task import TrackedTask, group_of
from foxapi_async.statistics import Counters, Statistics
from foxapi_async.submission import Submission
from foxapi_async.submitter import Submitter

if TYPE_CHECKING:
    from foxapi_async.journal import Entry, Journal

__all__ = ["Engine", "Options"]

_log = logging.getLogger("foxapi_async")

_LOOK_TIMEOUT: Final = 15.0
"""Seconds for one look, as real clients of this API allow; a hung one would hide the answer."""

_IDS_PER_LINE: Final = 50

_MEMORY: Final = "durations of tasks"
"""Under which the journal keeps what the schedule has learned, for the next run."""


class Options(NamedTuple):
    """How a session behaves."""

    limits: Limits
    polling: Polling
    retry: Retry
    journal: Journal | None


class Engine:
    """The parts of an open session; made, used and closed in one event loop."""

    def __init__(self, transport: Transport, options: Options, announce: EventEmitter) -> None:
        limits, polling = options.limits, options.polling
        self._transport = transport
        self._options = options
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._look_seconds = min(_LOOK_TIMEOUT, transport.timeout.request)
        self._tally = Counters()
        self._budget = OutputSlots(limits.outputs, limits.total_outputs)
        self._gate = Limiter(
            RateScheduler(
                submissions_per_second=limits.submissions_per_second,
                polls_per_second=limits.polls_per_second,
            ),
            announce,
            self._tally,
            clock=self._loop.time,
        )
        self._schedule = Advice(
            poll_cost=polling.poll_cost,
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
        )
        self._poller = Poller(
            self.look,
            gate=self._gate,
            schedule=self._schedule,
            polling=polling,
            announce=announce,
            tally=self._tally,
            on_end=self._wrap_up,
            clock=self._loop.time,
        )
        self.calls: Calls = Calls(self._gate, options.retry, self._tally)
        self.transfers: Transfers = Transfers(
            transport,
            self.calls,
            retry=options.retry,
            announce=announce,
            at_once=limits.downloads,
            refresh=self.retrieve,
        )
        self._runs: set[Run] = set()
        self._closing = anyio.Event()
        self._ready = anyio.Event()
        self._closed = False
        self._journal_is_open = False
        self._has_recalled = False
        self._owner: asyncio.Task[None] | None = None

    @property
    def watches(self) -> tuple[TrackedTask, ...]:
        """The tasks that have not ended."""
        return tuple(self._poller.watches.values())

    def statistics(self) -> Statistics:
        """Return what was counted so far."""
        return self._tally.snapshot(
            in_flight=len(self._poller.watches),
            images_in_flight=self._budget.in_flight,
            # The loop's own clock: it is asked after the end as well, and by other threads.
            requests_per_second=self._gate.rate(self._loop.time()),
            downloads=self.transfers.files,
            bytes_downloaded=self.transfers.bytes,
        )

    def check(self) -> None:
        """Refuse a call after the end, or from another event loop.

        Raises:
            SessionClosedError: The session has ended.
            ConfigurationError: Another event loop runs here, or none.
        """
        if self._closed:
            raise SessionClosedError("the session has ended; open a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise ConfigurationError(
                "the session was opened in another event loop; open one in the loop that uses it"
            )

    async def open(self) -> None:
        """Start the parts.

        They live in one task, not in a task group around the caller's block: that would wrap the
        block's own exception, and tie leaving the block to the task that entered it.
        """
        journal = self._options.journal
        if journal is not None:
            await journal.open()
            self._journal_is_open = True
            self._schedule.from_json(await journal.recall(_MEMORY))
            self._has_recalled = True
        await self._transport.open()
        self._owner = asyncio.create_task(self._live(), name="foxapi-async session")
        await self._ready.wait()

    async def aclose(self) -> None:
        """Finish the POSTs under way, end every wait, and leave nothing running."""
        self._closed = True
        self._closing.set()
        await finish_despite_cancellation(self._wind_up)

    async def submit(self, flight: Submission) -> TrackedTask:
        """Carry out a submission and wait for the task id."""
        return await self._submitter.submit(flight)

    def adopt(self, task_id: str, *, estimated_time: float | None) -> TrackedTask:
        """TrackedTask a task that exists already."""
        watch = self._poller.watches.get(task_id)
        if watch is None:
            watch = self._adopt(Task(task_id), kind=None, estimate=estimated_time)
        return watch

    async def look(self, task_id: str, sync_upstream: bool) -> Answer[Task]:  # noqa: FBT001
        """Ask once for a task."""
        path = f"/v1/tasks/{quote(task_id, safe='')}"
        query = "?sync_upstream=true" if sync_upstream else ""
        return await ask(
            partial(self._transport.call, "GET", path + query, seconds=self._look_seconds),
            partial(read_task, asked=task_id),
            f"GET {path}",
            task_id=task_id,
        )

    async def retrieve(self, task_id: str) -> Task:
        """Ask for a task until there is an answer."""
        return await self.calls.free(lambda: self.look(task_id, sync_upstream=False))

    async def save(
        self, what: Task | Output, directory: str | os.PathLike[str], name: str | None
    ) -> list[Path]:
        """Save the files of a task or one of its outputs; the journal learns of a whole task."""
        downloads = await self.transfers.downloads()
        paths = await downloads.save(what, directory, name=name)
        journal = self._options.journal
        if journal is not None and isinstance(what, Task):
            indices = [output.index for output in what.outputs if output.url is not None]
            files = [
                await run_in_thread(describe, path, index)
                for path, index in zip(paths, indices, strict=True)
            ]
            await journal.saved(what.id, files)
        return paths

    def start(self, run: Run) -> None:
        """Begin to read the input of a run."""
        self.check()
        self._runs.add(run)
        self._nursery.start(self._read, run)

    def new_run(self, items: Iterable[Item] | AsyncIterable[Item], *, ordered: bool) -> Run:
        """Return a run that has not begun to read its input."""
        return Run(
            items,
            submitter=self._submitter,
            start=self._nursery.start,
            outputs=self._options.limits.outputs,
            ordered=ordered,
        )

    async def _live(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                nursery = self._nursery = Supervisor(group)
                self._submitter = self._make_submitter(nursery)
                nursery.start(self._poll)
                self._ready.set()
                try:
                    await self._closing.wait()
                finally:
                    self._closed = True
                    for run in tuple(self._runs):
                        run.close()
                    await finish_despite_cancellation(self._submitter.aclose)
                    nursery.cancel()
            self._name_what_is_in_flight()
            await self._poller.wind_up()
        finally:
            self._closed = True
            self._ready.set()
            self._name_what_is_in_flight()
            self._poller.close()

    async def _poll(self) -> None:
        try:
            await self._poller.run()
        finally:
            # Without its poller the session is of no use, and nobody shall wait in vain.
            self._closing.set()

    async def _wind_up(self) -> None:
        owner = self._owner
        if owner is not None:
            await asyncio.wait([owner])
        await self._transport.aclose()
        if self._options.journal is not None and self._journal_is_open:
            self._journal_is_open = False
            # Not over what was never read, nor by nothing: it would be forgotten.
            if self._has_recalled and (learned := self._schedule.to_json()):
                self._options.journal.remember(_MEMORY, learned)
            await self._options.journal.aclose()
        if owner is not None and not owner.cancelled() and (fault := owner.exception()) is not None:
            _log.error("the session's own work went wrong", exc_info=fault)

    def _make_submitter(self, nursery: Supervisor) -> Submitter:
        return Submitter(
            self._transport,
            budget=self._budget,
            gate=self._gate,
            retry=self._options.retry,
            announce=self._announce,
            tally=self._tally,
            nursery=nursery,
            journal=self._options.journal,
            welcome=self._welcome,
            resume=self._resume,
            is_watched=self._poller.watches.__contains__,
            awaited=self._poller.watches.__len__,
            clock=self._loop.time,
        )

    async def _read(self, run: Run) -> None:
        try:
            await run.read()
        finally:
            self._runs.discard(run)

    def _welcome(self, task: Task, flight: Submission) -> TrackedTask:
        now, images = self._loop.time(), flight.outputs
        watch = TrackedTask(
            task,
            born=now,
            deadline=now + self._options.polling.deadline_for(flight.kind),
            request=flight.request,
            key=flight.key,
            group=flight.group,
            estimate=task.task_info.estimated_time,
            images=images,
        )
        self._tally.submitted += 1
        self._tally.progress_count += 1
        self._tally.images_billed += images
        _log.info("task %s was created (%s, %d outputs)", task.id, flight.model, images)
        self._poller.track(watch)
        return watch

    def _resume(self, entry: Entry, flight: Submission, images: int) -> TrackedTask:
        assert entry.task_id is not None
        watch = self._poller.watches.get(entry.task_id)
        if watch is None:
            since = datetime.now(UTC) - (entry.submitted or entry.updated)
            watch = self._adopt(
                Task(entry.task_id),
                age=max(0.0, since.total_seconds()),
                kind=flight.kind,
                request=flight.request,
                key=flight.key,
                group=group_of(flight.model, flight.outputs, entry.payload),
                estimate=entry.estimated_time,
                images=images,
            )
            if images:
                self._gate.resumed(images)
        elif images:
            self._budget.free(images)
        return watch

    def _adopt(
        self, task: Task, *, age: float = 0.0, kind: str | None, **known: Any
    ) -> TrackedTask:
        now = self._loop.time()
        deadline = now + self._options.polling.deadline_for(kind)
        watch = TrackedTask(task, born=now - age, deadline=deadline, adopted=True, **known)
        self._poller.track(watch, first_look=now)
        return watch

    def _wrap_up(self, watch: TrackedTask) -> None:
        if watch.images:
            self._budget.free(watch.images)
            self._gate.landed(watch.images, known=True)
        ended_badly = isinstance(watch.error, TaskFailedError | TaskCancelledError)
        if self._options.journal is not None and (watch.error is None or ended_badly):
            task = watch.latest
            self._options.journal.ended(task.id, task.status, error=task.error)

    def _name_what_is_in_flight(self) -> None:
        ids = list(self._poller.watches)
        for start in range(0, len(ids), _IDS_PER_LINE):
            _log.warning(
                "the session ends with tasks in flight; they go on at the server and are billed, "
                "session.attach(id) waits for them again: %s",
                ", ".join(ids[start : start + _IDS_PER_LINE]),
            )
