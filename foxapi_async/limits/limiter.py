"""Where every request waits for its turn: the pacer's decisions, carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import Signal
from foxapi_async.events import EventEmitter, RateLimited
from foxapi_async.http.responses import Answer
from foxapi_async.limits.rate_scheduler import Lane, RateScheduler
from foxapi_async.statistics import Counters

__all__ = ["Limiter"]

_log = logging.getLogger("foxapi_async")

_UNAVAILABLE = 503

_LONGEST_503 = 60.0
"""Seconds for which a 503 pauses a session at most: it may speak of one model or one server only."""

_WORTH_TELLING = 30.0


class Limiter:
    """Lets requests out one by one in each lane, as fast as the pacer allows.

    It also knows how many images are out: sent by a POST under way (`enter`), accepted by the server
    (`accepted`), and no longer in flight (`landed`).
    """

    def __init__(
        self,
        pacer: RateScheduler,
        announce: EventEmitter,
        tally: Counters,
        *,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._pacer = pacer
        self._announce = announce
        self._tally = tally
        self._clock = clock
        self._queues = {lane: anyio.Lock(fast_acquire=True) for lane in Lane}
        self._waiting = dict.fromkeys(Lane, 0)
        self._room = Signal()
        self._out = 0
        self._known = 0

    async def enter(self, lane: Lane, *, images: int = 0) -> float:
        """Wait for the turn of a request and return the moment in which it may leave.

        Args:
            lane: What the request is for.
            images: How many images it asks for; they count as out until `landed`.
        """
        self._waiting[lane] += 1
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            if self._waiting[lane] > 1 or self._delay(lane, images) > 0:
                async with self._queues[lane]:
                    while (delay := self._delay(lane, images)) > 0:
                        await self._sleep(delay)
            now = self._clock()
            self._pacer.sent(lane, now)
            self._out += images
            return now
        finally:
            self._waiting[lane] -= 1
            self._pacer.waiting(lane, self._waiting[lane])

    def poll_delay(self, waiting: int) -> float:
        """Return the seconds until a look may leave; ``waiting`` looks are due."""
        self._pacer.waiting(Lane.POLL, waiting)
        return self._pacer.delay(Lane.POLL, self._clock())

    def poll_sent(self) -> float:
        """Record that a look leaves, and return the moment."""
        now = self._clock()
        self._pacer.sent(Lane.POLL, now)
        return now

    def rate(self, now: float) -> float | None:
        """Return the requests per second that the server was found to bear, None if unbounded."""
        return self._pacer.snapshot(now).rate

    def report(self, lane: Lane, answer: Answer[Any], sent_at: float) -> None:
        """Let the pacer learn from an answer."""
        now = self._clock()
        in_flight = self._known if lane is Lane.SUBMIT else None
        if answer.rate_limited:
            self._tally.rate_limited += 1
            if (answer.retry_after or 0.0) >= _WORTH_TELLING:
                _log.warning(
                    "429: the server asks to wait %g s, so the whole session pauses",
                    answer.retry_after,
                )
            if self._announce:
                self._announce(RateLimited(answer.retry_after))
            self._pacer.refused(lane, now, answer.retry_after, sent_at=sent_at, in_flight=in_flight)
        elif answer.status is not None:
            if answer.status == _UNAVAILABLE and answer.retry_after is not None:
                self._pacer.pause(now, min(answer.retry_after, _LONGEST_503))
            self._pacer.answered(lane, now, sent_at=sent_at, in_flight=in_flight)

    def accepted(self, images: int) -> None:
        """Record that a task of so many images exists."""
        self._known += images

    def resumed(self, images: int) -> None:
        """Record that a task of so many images, created earlier, is in flight."""
        self._out += images
        self._known += images

    def landed(self, images: int, *, known: bool) -> None:
        """Record that so many images are out no longer; ``known`` if their task was accepted."""
        self._out -= images
        if known:
            self._known -= images
        self._room.set()

    def _delay(self, lane: Lane, images: int) -> float:
        now = self._clock()
        room = self._pacer.room_delay(images, self._out, now) if images else 0.0
        # Who waits for room could not use a turn, so it must not hold one up.
        self._pacer.waiting(lane, 0 if room > 0 else self._waiting[lane])
        return max(room, self._pacer.delay(lane, now))

    async def _sleep(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._room.wait()
