"""The one coroutine that watches all tasks of a session."""

from __future__ import annotations

import heapq
import logging
import random
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from foxapi_async.agenda import Agenda
from foxapi_async.answers import Answer
from foxapi_async.errors import (
    FoxAPIError,
    InvalidResponseError,
    SessionClosedError,
    TaskCancelledError,
    TaskFailedError,
)
from foxapi_async.events import Announcer, PollFailed, TaskEnded, TaskUpdated
from foxapi_async.gate import Gate
from foxapi_async.models import Task
from foxapi_async.options import Polling
from foxapi_async.pacing import Lane
from foxapi_async.schedule import Schedule
from foxapi_async.tally import Tally
from foxapi_async.verdict import Finding
from foxapi_async.watch import Watch

__all__ = ["Poller"]

_log = logging.getLogger("foxapi_async")

_LOOKS_AT_ONCE = 64

Look = Callable[[str, bool], Awaitable[Answer[Task]]]


class Poller:
    """Looks at each watched task when its time has come, and tells when it has ended.

    Args:
        look: Asks the server once for a task id, with or without ``sync_upstream``.
        gate: Where each look waits for its turn.
        schedule: When to look next.
        polling: Bounds and deadline.
        announce: Takes events.
        tally: Takes counts.
        on_end: Called with each watch that has ended, before those who wait for it.
    """

    def __init__(
        self,
        look: Look,
        *,
        gate: Gate,
        schedule: Schedule,
        polling: Polling,
        announce: Announcer,
        tally: Tally,
        on_end: Callable[[Watch], None],
    ) -> None:
        self.watches: dict[str, Watch] = {}
        self._look = look
        self._gate = gate
        self._schedule = schedule
        self._polling = polling
        self._announce = announce
        self._tally = tally
        self._on_end = on_end
        self._agenda: Agenda[Watch] = Agenda(self._chance_of_an_end)
        self._deadlines: list[tuple[float, str]] = []
        self._places = _LOOKS_AT_ONCE
        self._wake = anyio.Event()

    def track(self, watch: Watch, *, first_look: float | None = None) -> None:
        """Watch a task from now on; the first look comes by schedule, or when it is said."""
        self.watches[watch.id] = watch
        watch.on_end.append(lambda: self._settle(watch))
        if self._announce:
            watch.on_change.append(lambda task: self._announce(TaskUpdated(task, watch.request)))
        heapq.heappush(self._deadlines, (watch.deadline, watch.id))
        if first_look is None:
            self._plan(watch)
        else:
            self._agenda.plan(watch, first_look)
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with anyio.create_task_group() as looks:
            while True:
                wake_at = self._start_due_looks(looks)
                self._wake = anyio.Event()
                with anyio.CancelScope(deadline=wake_at):
                    await self._wake.wait()

    def close(self) -> None:
        """End every wait, because the session ends."""
        for watch in list(self.watches.values()):
            watch.finish(
                SessionClosedError(
                    f"the session ended while task {watch.id} was in flight; it goes on at the "
                    f"server and is billed: session.attach({watch.id!r}) waits for it again",
                    task_id=watch.id,
                )
            )

    def _start_due_looks(self, looks: anyio.abc.TaskGroup) -> float:
        now = anyio.current_time()
        self._expire(now)
        wake_at = self._deadlines[0][0] if self._deadlines else float("inf")
        while self._places and (due := self._agenda.next_due()) is not None:
            if due > now:
                return min(wake_at, due)
            delay = self._gate.poll_delay(1)
            if delay > 0:
                return min(wake_at, now + delay)
            watch = self._agenda.take(now)
            if watch is not None and not watch.ended:
                self._places -= 1
                looks.start_soon(self._look_at, watch, self._gate.poll_sent())
        self._gate.poll_delay(0)
        return wake_at

    def _expire(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            watch = self.watches.get(heapq.heappop(self._deadlines)[1])
            if watch is not None and watch.deadline <= now:
                watch.expire()
        if len(self._deadlines) > 2 * len(self.watches) + 1000:  # those that ended long before
            self._deadlines = [(watch.deadline, id_) for id_, watch in self.watches.items()]
            heapq.heapify(self._deadlines)

    async def _look_at(self, watch: Watch, sent_at: float) -> None:
        self._tally.polls += 1
        sync_upstream = self._polling.sync_upstream and not watch.awaits_outputs
        try:
            answer = await self._look(watch.id, sync_upstream)
        except Exception as fault:  # noqa: BLE001
            # A fault in one look must not end the poller, on which all other tasks depend.
            _log.exception("looking at task %s went wrong; it is looked at again", watch.id)
            error = InvalidResponseError(
                f"looking at task {watch.id} went wrong: {fault!r}", task_id=watch.id
            )
            answer = Answer[Task](Finding.CUT_OFF, error=error)
        finally:
            self._places += 1
            self._wake.set()
        self._gate.report(Lane.POLL, answer, sent_at)
        now = anyio.current_time()
        if answer.value is not None:
            watch.saw(answer.value, now)
        elif answer.error is not None:
            self._missed(watch, answer.error, now)
        if not watch.ended:
            self._plan(watch)

    def _missed(self, watch: Watch, error: FoxAPIError, now: float) -> None:
        self._tally.polls_failed += 1
        _log.debug("looking at task %s failed: %s", watch.id, error)
        if self._announce:
            self._announce(PollFailed(watch.id, error))
        watch.missed(error, now)

    def _plan(self, watch: Watch) -> None:
        now = anyio.current_time()
        due = watch.next_look(self._schedule, self._polling, now, random.random())  # noqa: S311
        if due is not None:
            self._agenda.plan(watch, due)

    def _settle(self, watch: Watch) -> None:
        self.watches.pop(watch.id, None)
        now = anyio.current_time()
        age = now - watch.born
        error = watch.error
        ended_at_the_server = True
        if error is None:
            self._tally.completed += 1
        elif isinstance(error, TaskFailedError | TaskCancelledError):
            self._tally.failed += 1
        else:
            self._tally.unfinished += 1
            ended_at_the_server = False
        self._tally.headway += 1
        if ended_at_the_server and not watch.adopted:
            ended_by = watch.first_seen_ended
            self._schedule.observe(
                watch.group, watch.estimate, watch.ran_until, age if ended_by is None else ended_by
            )
        if error is None:
            _log.info("task %s is completed after %.1f s", watch.id, age)
        else:
            _log.info("task %s: %s", watch.id, error)
        self._on_end(watch)
        if self._announce:
            self._announce(TaskEnded(watch.id, watch.latest, error, watch.request, age))

    def _chance_of_an_end(self, watch: Watch, now: float) -> float:
        return self._schedule.chance(watch.group, watch.estimate, watch.ran_until, now - watch.born)
