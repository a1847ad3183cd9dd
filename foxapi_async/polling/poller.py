"""The one coroutine that watches all tasks of a session."""

from __future__ import annotations

import heapq
import logging
import math
import random
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import DeadlineTimer, WorkerPool
from foxapi_async.errors import (
    FoxAPIError,
    SessionClosedError,
    TaskCancelledError,
    TaskFailedError,
)
from foxapi_async.events import EventEmitter, PollFailed, TaskEnded, TaskUpdated
from foxapi_async.http.responses import Answer
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.models import Task
from foxapi_async.options import Polling
from foxapi_async.polling.due_queue import DueQueue
from foxapi_async.polling.replanning import Replanning
from foxapi_async.polling.schedule import Schedule
from foxapi_async.polling.tracked_task import TrackedTask, longest_pause
from foxapi_async.statistics import Counters

__all__ = ["Poller"]

_log = logging.getLogger("foxapi_async")

_LOOKS_AT_ONCE = 64

_ENDED_AT_ONCE = 100
"""Waits that are ended in one go: those of a hundred thousand tasks would hold up the event loop."""

_LOOKS_PER_TURN = 8
"""Looks that leave in one turn of the event loop, for each is some hundred microseconds of work."""

_TAKEN_AT_ONCE = 200
"""Entries of the agenda that are gone through in one turn in search of a task to look at."""

_WORTH_A_CHANGE = 0.1
"""By which part of the time since the last look the next one must move to be planned anew."""

Look = Callable[[str, bool], Awaitable[Answer[Task]]]

_Turn = tuple[TrackedTask, float]
"""A task to look at, and the moment in which the look leaves."""


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
        clock: Tells the time of the event loop in seconds.
    """

    def __init__(
        self,
        look: Look,
        *,
        gate: Limiter,
        schedule: Schedule,
        polling: Polling,
        announce: EventEmitter,
        tally: Counters,
        on_end: Callable[[TrackedTask], None],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.watches: dict[str, TrackedTask] = {}
        self._look = look
        self._gate = gate
        self._schedule = schedule
        self._polling = polling
        self._announce = announce
        self._tally = tally
        self._on_end = on_end
        self._keeper = self._settle
        self._clock = clock
        # Of ids, not of watches: what holds nothing but text and numbers is no work for the garbage collector.
        self._agenda: DueQueue[str] = DueQueue(self._chance_of_an_end)
        self._replanning = Replanning(self.watches)
        self._deadlines: list[tuple[float, str]] = []
        self._places = _LOOKS_AT_ONCE
        self._left_in_turn = 0
        self._is_scarce = False
        self._alarm = DeadlineTimer()

    def track(self, watch: TrackedTask, *, first_look: float | None = None) -> None:
        """TrackedTask a task from now on; the first look comes by schedule, or when it is said."""
        self.watches[watch.id] = watch
        watch.keeper = self._keeper
        if self._announce:
            watch.on_change.append(lambda task: self._announce(TaskUpdated(task, watch.request)))
        heapq.heappush(self._deadlines, (watch.deadline, watch.id))
        self._alarm.set(watch.deadline)
        if first_look is None:
            self._plan(watch)
        else:
            self._plan_for(watch, first_look)

    async def run(self) -> None:
        """TrackedTask until cancelled."""
        async with anyio.create_task_group() as group:
            crew = WorkerPool(group, self._work)
            in_time = partial(self._hand_out_in_time, crew)
            while True:
                self._alarm.clear()
                self._expire(self._clock())
                self._hand_out(crew)
                self._plan_some_anew()
                if not self._left_in_turn or not self._replanning.is_done:
                    await anyio.lowlevel.checkpoint()
                else:
                    await self._alarm.wait(in_time)

    async def wind_up(self) -> None:
        """End every wait, a few at a time, because the session ends."""
        for number, watch in enumerate(tuple(self.watches.values())):
            self._close(watch)
            if number % _ENDED_AT_ONCE == 0:
                await anyio.lowlevel.cancel_shielded_checkpoint()

    def close(self) -> None:
        """End every wait that is left, at once."""
        for watch in tuple(self.watches.values()):
            self._close(watch)

    def _close(self, watch: TrackedTask) -> None:
        watch.finish(
            SessionClosedError(
                f"the session ended while task {watch.id} was in flight; it goes on at the "
                f"server and is billed: session.attach({watch.id!r}) waits for it again",
                task_id=watch.id,
            )
        )

    def _hand_out_in_time(self, crew: WorkerPool[_Turn]) -> None:
        if self._deadlines and self._deadlines[0][0] <= self._clock():
            # Listeners are told of a wait that expires, and may need a task around them; a timer has none.
            self._alarm.wake()
            return
        self._left_in_turn = _LOOKS_PER_TURN
        while self._places and crew.has_idle and (turn := self._next_turn()) is not None:
            self._places -= 1
            crew.submit_to_idle(turn)
        if self._places and not crew.has_idle:
            self._alarm.wake()  # only a task may start a task: `run` does
        self._after_handing_out()

    def _hand_out(self, crew: WorkerPool[_Turn]) -> None:
        self._left_in_turn = _LOOKS_PER_TURN
        while self._places and (turn := self._next_turn()) is not None:
            self._places -= 1
            crew.submit(turn)
        self._after_handing_out()

    def _after_handing_out(self) -> None:
        if not self._places:
            self._is_scarce = True
        if self._deadlines:
            self._alarm.set(self._deadlines[0][0])

    def _next_turn(self) -> _Turn | None:
        if not self._left_in_turn:
            self._alarm.wake()  # the rest is handed out in the next turns of the event loop
            return None
        now = self._clock()
        for _ in range(_TAKEN_AT_ONCE):
            due = self._agenda.next_due()
            if due is None or due > now:
                break
            delay = self._gate.poll_delay(1)
            if delay > 0:
                self._is_scarce = True
                self._alarm.set(now + delay)
                return None
            watch = self.watches.get(self._agenda.take(now, by_urgency=self._is_scarce) or "")
            # One that was planned anew is still in the agenda for the moment of its former plan.
            if watch is None or watch.due > now or self._is_put_off(watch, now):
                continue
            watch.due = math.inf
            self._left_in_turn -= 1
            return watch, self._gate.poll_sent()
        else:
            self._left_in_turn = 0
            self._alarm.wake()
            return None
        self._is_scarce = False
        self._gate.poll_delay(0)
        if due is not None:
            self._alarm.set(due)
        return None

    def _is_put_off(self, watch: TrackedTask, now: float) -> bool:
        """Plan a look that is due for later, if that is better by what was learned since it was planned."""
        due = watch.reconsidered(self._schedule)
        if due - now <= self._worth_a_change(watch, now):
            return False
        self._plan_for(watch, due)
        return True

    def _plan_some_anew(self) -> None:
        """Bring forward what was planned knowing less; what should come later is put off when it is due."""
        now = self._clock()
        for watch in self._replanning.some():
            change = self._worth_a_change(watch, now)
            if watch.due - now <= change:
                continue
            due = max(watch.reconsidered(self._schedule), now)
            if watch.due - due > change:
                self._plan_for(watch, due)

    def _worth_a_change(self, watch: TrackedTask, now: float) -> float:
        return _WORTH_A_CHANGE * (now - watch.born - watch.ran_until)

    async def _work(self, turn: _Turn) -> None:
        """Look, and look again as long as looks are due."""
        following: _Turn | None = turn
        while following is not None:
            watch, sent_at = following
            try:
                await self._look_at(watch, sent_at)
            except Exception:  # noqa: BLE001
                # A fault at one task must not end the poller, on which all others depend.
                _log.exception("looking at task %s went wrong; it is looked at again", watch.id)
                if not watch.ended:
                    self._plan_for(watch, self._clock() + longest_pause(self._polling))
            following = self._next_turn()
        self._places += 1

    def _expire(self, now: float) -> None:
        for _ in range(_ENDED_AT_ONCE):
            if not (self._deadlines and self._deadlines[0][0] <= now):
                break
            watch = self.watches.get(heapq.heappop(self._deadlines)[1])
            if watch is not None and watch.deadline <= now:
                watch.expire()
        if len(self._deadlines) > 2 * len(self.watches) + 1000:  # those that ended long before
            self._deadlines = [(watch.deadline, id_) for id_, watch in self.watches.items()]
            heapq.heapify(self._deadlines)

    async def _look_at(self, watch: TrackedTask, sent_at: float) -> None:
        self._tally.polls += 1
        sync_upstream = self._polling.sync_upstream and not watch.awaits_outputs
        answer = await self._look(watch.id, sync_upstream)
        self._gate.report(Lane.POLL, answer, sent_at)
        now = self._clock()
        if answer.value is not None:
            ran_until = watch.ran_until
            watch.saw(answer.value, now)
            if watch.ran_until > ran_until and not watch.adopted:
                self._schedule.still_running(
                    watch.group, watch.estimate, ran_until, watch.ran_until
                )
        elif answer.error is not None:
            self._missed(watch, answer.error, now)
        if not watch.ended:
            self._plan(watch)

    def _missed(self, watch: TrackedTask, error: FoxAPIError, now: float) -> None:
        self._tally.polls_failed += 1
        _log.debug("looking at task %s failed: %s", watch.id, error)
        if self._announce:
            self._announce(PollFailed(watch.id, error))
        watch.missed(error, now)

    def _plan(self, watch: TrackedTask) -> None:
        now = self._clock()
        due = watch.next_poll(self._schedule, self._polling, now, random.random())  # noqa: S311
        if due is not None:
            self._plan_for(watch, due)

    def _plan_for(self, watch: TrackedTask, due: float) -> None:
        watch.due = due
        self._agenda.plan(watch.id, due)
        self._alarm.set(due)

    def _learn(self, watch: TrackedTask, age: float) -> None:
        group, before = watch.group, self._schedule.revision(watch.group)
        ended_by = age if watch.first_seen_ended is None else watch.first_seen_ended
        self._schedule.observe(group, watch.estimate, watch.ran_until, ended_by)
        if self._schedule.revision(group) != before:
            self._replanning.ask(group)
            self._alarm.wake()

    def _settle(self, watch: TrackedTask) -> None:
        self.watches.pop(watch.id, None)
        now = self._clock()
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
        self._tally.progress_count += 1
        if ended_at_the_server and not watch.adopted:
            self._learn(watch, age)
        if error is None:
            _log.info("task %s is completed after %.1f s", watch.id, age)
        else:
            _log.info("task %s: %s", watch.id, error)
        self._on_end(watch)
        if self._announce:
            self._announce(TaskEnded(watch.id, watch.latest, error, watch.request, age))

    def _chance_of_an_end(self, task_id: str, now: float) -> float:
        watch = self.watches.get(task_id)
        if watch is None:
            return 1.0  # what has ended leaves the agenda first, which costs nothing
        return self._schedule.chance(watch.group, watch.estimate, watch.ran_until, now - watch.born)
