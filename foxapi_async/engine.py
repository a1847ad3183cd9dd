"""The life of an open session: its parts, and the one task that owns all others."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncIterable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import anyio
import anyio.lowlevel
import attrs

from foxapi_async._concurrency import Signal, Supervisor, finish_despite_cancellation
from foxapi_async.api import Api
from foxapi_async.errors import ConfigurationError, FoxAPIError, SessionClosedError
from foxapi_async.events import EventEmitter
from foxapi_async.files.service import FileService
from foxapi_async.http.transport import Transport
from foxapi_async.limits.limiter import Limiter
from foxapi_async.map_input import Item
from foxapi_async.mapping import MapOperation
from foxapi_async.options import Limits, Polling, Retry
from foxapi_async.polling.poller import Poller
from foxapi_async.polling.schedule import Schedule
from foxapi_async.registry import TaskRegistry
from foxapi_async.statistics import Counters, Statistics
from foxapi_async.submitter import Submitter
from foxapi_async.views import View, ViewOptions

if TYPE_CHECKING:
    from foxapi_async.journal import SessionJournal

_log = logging.getLogger("foxapi_async")

_RECORD_TIMEOUT: Final = 5.0
"""Seconds beyond ``Timeout.request`` in which the outcome of a POST is recorded."""

_UNWINDING: Final = 5.0
"""Seconds in which cancelled downloads and uploads remove what they have begun."""

_CLOSED_PER_TURN: Final = 100
"""Waits that are ended in one turn of the event loop: 100,000 at once would block it."""

_DURATIONS: Final = "durations of tasks"
"""The name under which the journal keeps what the schedule has learned."""


class Engine:
    """The parts of an open session; created, used and closed in one event loop."""

    def __init__(
        self,
        transport: Transport,
        *,
        limits: Limits,
        polling: Polling,
        retry: Retry,
        journal: SessionJournal | None,
        events: EventEmitter,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._journal = journal
        self._counters = Counters()
        self._limiter = Limiter(
            # The total of all sessions is not counted here.
            limits if limits.scope == "session" else attrs.evolve(limits, total_outputs=None),
            events,
            self._counters,
        )
        self._schedule = Schedule(
            poll_cost=polling.poll_cost,
            min_interval=polling.min_interval,
            max_interval=polling.max_interval,
        )
        self.api: Api = Api(transport, self._limiter, retry, self._counters)
        self.registry: TaskRegistry = TaskRegistry(
            schedule=self._schedule,
            polling=polling,
            limiter=self._limiter,
            journal=journal,
            events=events,
            counters=self._counters,
        )
        self._poller = Poller(self.registry, self.api, self._limiter, polling)
        self._supervisor = Supervisor()
        self.submitter: Submitter = Submitter(
            api=self.api,
            registry=self.registry,
            limiter=self._limiter,
            retry=retry,
            journal=journal,
            supervisor=self._supervisor,
            events=events,
            counters=self._counters,
        )
        self.files: FileService = FileService(
            transport,
            self.api,
            retry=retry,
            events=events,
            max_downloads=limits.downloads,
            journal=journal,
        )
        self._loop = asyncio.get_running_loop()
        self._operations: set[MapOperation] = set()
        self._longest_request = transport.timeout.request  # of the views, too
        self._calls: set[anyio.CancelScope] = set()
        self._call_ended = Signal()
        self.has_finished: bool = False
        """Whether `aclose` has run to its end."""
        self._finishing = anyio.Lock()
        self._closing = anyio.Event()
        self._ready = anyio.Event()
        self._journal_is_open = False
        self._has_recalled = False
        self._owner: asyncio.Task[None] | None = None

    def statistics(self) -> Statistics:
        """Return the counters as they are now; any thread may call this."""
        return self._counters.snapshot(
            in_flight=len(self.registry.tasks),
            images_in_flight=self._limiter.slots.in_flight,
            requests_per_second=self._limiter.rate(),
            paused_since=self.submitter.paused_since,
            downloads=self.files.downloads,
            bytes_downloaded=self.files.bytes_downloaded,
        )

    async def open(self) -> None:
        """Start the parts.

        They run in one task rather than in a task group around the caller's block: a group would
        wrap the exception of the block, and tie leaving the block to the task that entered it.
        """
        if self._journal is not None:
            await self._journal.open()
            self._journal_is_open = True
            self._schedule.from_json(await self._journal.recall(_DURATIONS))
            self._has_recalled = True
        if self._limits.scope == "journal":
            self._share_limits()
        await self._transport.open()
        self._owner = asyncio.create_task(self._run(), name="foxapi-async session")
        await self._ready.wait()

    def _share_limits(self) -> None:
        from foxapi_async.journal import PostgresJournal  # noqa: PLC0415 - few sessions need them
        from foxapi_async.shared_limits import SharedLimits  # noqa: PLC0415

        if not isinstance(self._journal, PostgresJournal):
            raise ConfigurationError(
                "shared limits (Limits(scope='journal'), --shared-limits) need a journal in PostgreSQL: "
                "Session(journal=PostgresJournal(…)), --journal postgresql://…"
            )
        self.submitter.shared_limits = SharedLimits(
            self._journal,
            outputs=self._limits.outputs,
            total=self._limits.total_outputs,
            limiter=self._limiter,
            gate=self.submitter.gate,
            registry=self.registry,
            supervisor=self._supervisor,
        )

    async def aclose(self) -> None:
        """Finish the POSTs under way, end all waits, and leave nothing running; again, do nothing.

        Raises:
            ConfigurationError: Called from another event loop than its own.
        """
        if self.has_finished:
            return
        self.registry.check_loop()
        self.registry.closed = True
        self._closing.set()
        await finish_despite_cancellation(self._finish)

    def report_unclosed(self, session: object) -> None:
        """Tell the event loop, as aiohttp does, that a session was dropped without being closed."""
        self._loop.call_exception_handler(
            {
                "session": session,
                "message": f"unclosed session {session!r}: call `await session.aclose()`, or use "
                "`async with`",
            }
        )

    def map(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool,
        view: View | None = None,
    ) -> MapOperation:
        """Return an operation that has not begun to read its input."""
        return MapOperation(
            items,
            registry=self.registry,
            submitter=self.submitter,
            supervisor=self._supervisor,
            operations=self._operations,
            outputs=self._limits.outputs,
            ordered=ordered,
            view=view,
        )

    def view(self, options: ViewOptions) -> View:
        """Return the parts for calls with these options."""
        self._longest_request = max(self._longest_request, options.timeout.request)
        # On the same connections, with the same memory.
        transport = copy.copy(self._transport)
        transport.timeout, transport.on_response = options.timeout, options.on_response
        api = self.api.with_options(transport, options.retry)
        files = self.files.with_options(transport, api, options.retry)
        return View(options, api, files)

    @contextmanager
    def until_closed(self, what: str, task_id: str | None = None) -> Generator[None, None, None]:
        """End the block with `SessionClosedError` when the session closes."""
        scope = anyio.CancelScope()
        with scope:
            self._calls.add(scope)
            try:
                yield
            finally:
                self._calls.discard(scope)
                self._call_ended.set()
        if scope.cancelled_caught:
            raise SessionClosedError(
                f"the session ended during {what}; it can be repeated in another session, and "
                "nothing is billed for that",
                task_id=task_id,
            )

    async def _run(self) -> None:
        try:
            async with self._supervisor.group:
                self._supervisor.start(self._poll)
                self._ready.set()
                try:
                    await self._closing.wait()
                finally:
                    self.registry.closed = True
                    for operation in tuple(self._operations):
                        operation.close()
                    for scope in tuple(self._calls):
                        scope.cancel()
                    timeout = self._longest_request + _RECORD_TIMEOUT
                    await finish_despite_cancellation(partial(self.submitter.aclose, timeout))
                    if self.submitter.shared_limits is not None:
                        await finish_despite_cancellation(self.submitter.shared_limits.aclose)
                    if self._journal is not None:
                        self._journal.stop_waiting()
                    self._supervisor.cancel()
            self.registry.log_in_flight()
            await self._close_waits()
        except BaseException as fault:
            self.registry.fault = self.registry.fault or fault
            raise
        finally:
            self.registry.closed = True
            self._ready.set()
            self.registry.log_in_flight()  # if a fault or the end of the event loop led here
            self.registry.close(tuple(self.registry.tasks.values()))

    async def _poll(self) -> None:
        try:
            await self._poller.run()
        except Exception as fault:
            cause: BaseException = fault
            while isinstance(cause, ExceptionGroup):
                cause = cast("ExceptionGroup[Exception]", cause).exceptions[0]
            self.registry.fault = cause
            raise
        finally:
            # Without its poller the session is of no use, and no caller may wait in vain.
            self._closing.set()

    async def _close_waits(self) -> None:
        """End the waits that are left, a few in each turn of the event loop."""
        tasks = tuple(self.registry.tasks.values())
        for start in range(0, len(tasks), _CLOSED_PER_TURN):
            self.registry.close(tasks[start : start + _CLOSED_PER_TURN])
            await anyio.lowlevel.cancel_shielded_checkpoint()

    async def _finish(self) -> None:
        async with self._finishing:  # of several callers the first finishes, the others wait for it
            if not self.has_finished:
                await self._close_parts()
                self.has_finished = True

    async def _close_parts(self) -> None:
        owner = self._owner
        if owner is not None:
            await asyncio.wait([owner])
        with anyio.move_on_after(_UNWINDING):
            while self._calls:
                await self._call_ended.wait()
        await self._transport.aclose()
        await self.api.spool.aclose()
        if self._journal is not None and self._journal_is_open:
            self._journal_is_open = False
            # What was learned by earlier runs is lost if it is overwritten without having been read,
            # or with nothing.
            if self._has_recalled and (learned := self._schedule.to_json()):
                try:
                    self._journal.remember(_DURATIONS, learned)
                except FoxAPIError as error:  # the caller has closed the journal
                    _log.warning("the durations of tasks were not recorded: %s", error)
            await self._journal.aclose()
        if owner is not None and not owner.cancelled() and (fault := owner.exception()) is not None:
            _log.error("the session failed", exc_info=fault)
