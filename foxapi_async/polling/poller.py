"""The one poller of a session: it polls each task when that is due."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import WorkerPool
from foxapi_async.api import Api, KeyCheck
from foxapi_async.errors import AuthenticationError
from foxapi_async.limits.limiter import Limiter
from foxapi_async.limits.rate_scheduler import Lane
from foxapi_async.options import Polling
from foxapi_async.polling.tracked_task import TrackedTask, longest_pause
from foxapi_async.registry import TaskRegistry

_log = logging.getLogger("foxapi_async")

_CONCURRENT_POLLS: Final = 64

_EXPIRED_PER_TURN: Final = 100
"""Waits that expire in one turn of the event loop: 100,000 at once would block it."""

_POLLS_PER_TURN: Final = 8
"""Polls that start in one turn of the event loop: each is some hundred microseconds of work."""

_TAKEN_PER_POLL: Final = 200
"""Planned polls that are taken from the queue in one turn in search of one that is still needed."""

_Poll = tuple[TrackedTask, float]
"""A task to poll, and the moment when the poll was admitted."""


class Poller:
    """Polls the tasks in the queue of a registry, which takes the results."""

    def __init__(
        self, registry: TaskRegistry, api: Api, limiter: Limiter, polling: Polling
    ) -> None:
        self._registry = registry
        self._queue = registry.queue
        self._api = api
        self._limiter = limiter
        self._polling = polling
        self._clock = asyncio.get_running_loop().time
        self._free = _CONCURRENT_POLLS
        self._left_in_turn = 0
        # While more polls are due than may leave, the tasks that have most likely ended go first.
        self._is_scarce = False

    async def run(self) -> None:
        """Poll until cancelled."""
        timer = self._queue.timer
        async with anyio.create_task_group() as group:
            workers = WorkerPool(group, self._work)
            start_idle = partial(self._start_idle, workers)
            while True:
                timer.clear()
                for tracked in self._queue.take_expired(self._clock(), _EXPIRED_PER_TURN):
                    self._registry.expire(tracked)
                self._left_in_turn = _POLLS_PER_TURN
                while self._free and (poll := self._next_poll()) is not None:
                    self._free -= 1
                    workers.submit(poll)
                if self._queue.replan_some(self._clock()) or not self._left_in_turn:
                    await anyio.lowlevel.checkpoint()
                else:
                    await timer.wait(start_idle)

    def _start_idle(self, workers: WorkerPool[_Poll]) -> None:
        """Start due polls in idle workers: the callback of the timer, which runs in no task."""
        if self._queue.has_expired(self._clock()):
            # Listeners are told of a wait that expires; they may need a task around them.
            self._queue.timer.wake()
            return
        self._left_in_turn = _POLLS_PER_TURN
        while self._free and workers.has_idle and (poll := self._next_poll()) is not None:
            self._free -= 1
            workers.submit_to_idle(poll)
        if self._free and not workers.has_idle:
            self._queue.timer.wake()  # `run` starts another worker

    def _next_poll(self) -> _Poll | None:
        if not self._left_in_turn:
            self._queue.timer.wake()  # the rest starts in the next turns of the event loop
            return None
        if not self._free:
            self._is_scarce = True
        now = self._clock()
        for _ in range(_TAKEN_PER_POLL):
            if not self._queue.is_due(now):
                self._is_scarce = False
                return None
            delay = self._limiter.poll_delay()
            if delay > 0:
                self._is_scarce = True
                self._queue.timer.set(now + delay)
                return None
            tracked = self._queue.take(now, by_chance=self._is_scarce)
            if tracked is not None:
                self._left_in_turn -= 1
                return tracked, self._limiter.admit_poll()
        self._left_in_turn = 0
        self._queue.timer.wake()
        return None

    async def _work(self, poll: _Poll) -> None:
        following: _Poll | None = poll
        try:
            while following is not None:
                await self._poll(*following)
                following = self._next_poll()
        finally:
            self._free += 1

    async def _poll(self, tracked: TrackedTask, sent_at: float) -> None:
        try:
            api, polling = self._api, self._polling
            if tracked.view is not None:
                api, polling = tracked.view.api, tracked.view.polling
            answer = await api.get_task(
                tracked.id, sync_upstream=polling.sync_upstream and not tracked.awaits_outputs
            )
            self._limiter.record_answer(Lane.POLL, answer, sent_at)
            if answer.value is not None:
                self._registry.update(tracked, answer.value)
            elif answer.error is not None:
                if isinstance(answer.error, AuthenticationError) and answer.error.enveloped:
                    # One of many polls may be refused although the key works.
                    check = await self._api.check_key()
                    answer.error.ends_run = check is KeyCheck.REFUSED
                self._registry.poll_failed(tracked, answer.error)
            if not tracked.ended:
                self._queue.plan(tracked, self._clock())
        except (Exception, asyncio.CancelledError) as fault:
            # A fault at one task must not end the poller, on which all others depend; nor must the
            # task be left without a next poll, should only this worker be cancelled.
            if not tracked.ended:
                self._queue.plan_at(tracked, self._clock() + longest_pause(self._polling))
            if isinstance(fault, asyncio.CancelledError):
                raise
            _log.exception(
                "polling task %s failed; it is polled again",
                tracked.id,
                extra={"task_id": tracked.id, "key": tracked.key},
            )
