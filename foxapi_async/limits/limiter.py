"""The limiter of a session: every request passes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import Signal
from foxapi_async.events import EventEmitter, RateLimited
from foxapi_async.http.responses import Answer
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler
from foxapi_async.limits.slots import OutputSlots
from foxapi_async.options import Limits
from foxapi_async.statistics import Counters

_log = logging.getLogger("foxapi_async")

_UNAVAILABLE: Final = 503
_LONGEST_503: Final = 60.0
"""Longest pause in seconds after a 503: it may concern one model or one server only."""
_LOGGED_PAUSE: Final = 30.0
"""Seconds of Retry-After from which a 429 is logged as a warning."""
_YIELD: Final = 0.05
"""Seconds by which a poll and another request let each other go first: timers are rarely later."""


class Limiter:
    """Admits requests in each lane, one by one, as fast as the rate scheduler allows.

    It also counts images in flight: those of POSTs under way, from `admit` on, and those of tasks
    that the server has accepted, from `task_created` to `task_ended`.
    """

    def __init__(self, limits: Limits, events: EventEmitter, counters: Counters) -> None:
        self.slots: OutputSlots = OutputSlots(limits.outputs, limits.total_outputs)
        self._scheduler = RateScheduler(
            submissions_per_second=limits.submissions_per_second,
            polls_per_second=limits.polls_per_second,
        )
        self._events = events
        self._counters = counters
        self._clock = asyncio.get_running_loop().time
        self._queues = {lane: anyio.Lock(fast_acquire=True) for lane in Lane}
        self._waiting = dict.fromkeys(Lane, 0)
        self._shorter = Signal()
        self._poll_was_last = self._poll_waits = False
        self._images_sent = 0
        self._images_accepted = 0
        self.on_refusal: Callable[[Lane, float | None], object] | None = None
        """Told of each 429, if the limits are shared with other sessions."""

    def share_rates(self, sessions: int) -> None:
        """Use an equal part of the ceilings, because so many sessions keep them together."""
        self._scheduler.share(sessions)

    def refused_elsewhere(self, lane: Lane, age: float, wait: float | None) -> None:
        """Adapt the rate to a 429 that another session got ``age`` seconds ago."""
        now = self._clock()
        self._scheduler.refused(lane, now, wait, sent_at=now - age)

    async def admit(self, lane: Lane, *, images: int = 0) -> float:
        """Wait until a request may leave, and return that moment; its images are then in flight."""
        self._waiting[lane] += 1
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            if self._waiting[lane] > 1 or self._delay(lane, images) > 0:
                async with self._queues[lane]:
                    while (delay := self._delay(lane, images)) > 0:
                        with anyio.move_on_after(delay):
                            await self._shorter.wait()
            now = self._clock()
            self._scheduler.sent(lane, now)
            self._images_sent += images
            self._poll_was_last &= lane is not Lane.OTHER
            return now
        finally:
            self._waiting[lane] -= 1

    def poll_delay(self) -> float:
        """Return the seconds until a poll may leave."""
        delay = self._scheduler.delay(Lane.POLL, self._clock())
        if delay > 0:
            # Polls and other requests share a rate, and take turns while both wait.
            self._poll_waits = True
            if self._poll_was_last and self._waiting[Lane.OTHER]:
                delay += _YIELD
        return delay

    def admit_poll(self) -> float:
        """Admit a poll, once `poll_delay` is 0, and return the moment."""
        now = self._clock()
        self._scheduler.sent(Lane.POLL, now)
        self._counters.polls += 1
        self._poll_was_last, self._poll_waits = True, False
        return now

    def rate(self) -> float | None:
        """Return the requests per second of the slower lane; None while no limit is known."""
        return self._scheduler.rate(self._clock())

    def record_answer(
        self, lane: Lane, answer: Answer[Any], sent_at: float, *, is_single: bool = False
    ) -> None:
        """Adapt the rate to an answer; `admit` or `admit_poll` has returned ``sent_at``.

        ``is_single``: the request left alone in an outage, not at the rate of the session.
        """
        now = self._clock()
        in_flight = self._images_accepted if lane is Lane.SUBMIT else None
        if answer.rate_limited:
            self._counters.rate_limited += 1
            if (answer.retry_after or 0.0) >= _LOGGED_PAUSE:
                _log.warning(
                    "429: the server asks to wait %g s, so all %s of the session pause",
                    answer.retry_after,
                    "submissions" if lane is Lane.SUBMIT else "polls",
                )
            self._events.emit(RateLimited(answer.retry_after))
            if self.on_refusal is not None:
                self.on_refusal(lane, answer.retry_after)
            self._scheduler.refused(
                lane,
                now,
                answer.retry_after,
                sent_at=sent_at,
                in_flight=in_flight,
                is_single=is_single,
            )
        elif answer.status is not None:
            if answer.status == _UNAVAILABLE and answer.retry_after is not None:
                self._scheduler.pause(lane, now, min(answer.retry_after, _LONGEST_503))
            if self._scheduler.answered(lane, now, sent_at=sent_at, in_flight=in_flight):
                self._shorter.set()

    def task_created(self, images: int) -> None:
        """Record that an admitted submission has created a task of so many images."""
        self._images_accepted += images

    def task_resumed(self, images: int) -> None:
        """Record that a task of so many images, created by another session, is in flight."""
        self.slots.occupy(images)
        self._images_sent += images
        self._images_accepted += images

    def not_created(self, images: int) -> None:
        """Record that an admitted submission of so many images has created no task that is known."""
        self._images_sent -= images
        self._shorter.set()

    def task_ended(self, images: int) -> None:
        """Record that a task of so many images has ended, and free its slots."""
        self._images_accepted -= images
        self._images_sent -= images
        self._shorter.set()
        self.slots.free(images)

    def _delay(self, lane: Lane, images: int) -> float:
        now = self._clock()
        delay = self._scheduler.delay(lane, now)
        if lane is Lane.OTHER and delay > 0 and self._poll_waits and not self._poll_was_last:
            delay += _YIELD
        if images:
            delay = max(delay, self._scheduler.room_delay(images, self._images_sent, now))
        return delay
