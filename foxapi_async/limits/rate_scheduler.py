"""Decides how fast one session may send; times are arguments, in seconds of a monotonic clock."""

from __future__ import annotations

import enum
import math
from collections import deque

from attrs import define, field

from foxapi_async.limits.cubic import CubicRate
from foxapi_async.limits.in_flight import InFlightLimit
from foxapi_async.retry import LONGEST_BELIEVED

_CATCH_UP = 0.02
"""Seconds of timer lateness that are compensated, so that late timers do not lower the rate."""
_REMEMBERED = 16384
"""Departures of a lane: those of 10 s at the most that a session can send."""


class Lane(enum.StrEnum):  # hashed several times per request, by a slow function in a plain Enum
    """The purpose of a request. Submissions have a rate of their own; the others share one."""

    SUBMIT = "submit"
    POLL = "poll"
    OTHER = "other"


@define(eq=False, repr=False)
class _Pace:
    """When the next request of a lane may leave."""

    departures: deque[float] = field(factory=lambda: deque[float](maxlen=_REMEMBERED))
    cubic: CubicRate | None = None  # while a limit is known
    free: float = -math.inf  # by the rate
    paused_until: float = -math.inf
    event_at: float = -math.inf  # when the last refusal was counted


class RateScheduler:
    """Decides when a request may be sent.

    Before the first 429, only the ceilings apply. After it, the rate that the server accepts is
    estimated for submissions, and apart from it for all other requests: a 429 to the one does not
    slow the other. A cap on images in flight is distinguished from a rate limit.

    The caller calls `delay()`, sleeps that long, calls it again, and calls `sent()` once it returns
    0.0. The caller reports each answer with `answered()` or `refused()`. A request without an
    answer needs no report.

    The arguments are ceilings, above 0; None for no ceiling. In any T seconds at most
    ``ceiling * (T + 0.02) + 1`` requests of the lane are sent.
    """

    def __init__(
        self, *, submissions_per_second: float | None = None, polls_per_second: float | None = None
    ) -> None:
        ceilings = {Lane.SUBMIT: submissions_per_second, Lane.POLL: polls_per_second}
        for ceiling in ceilings.values():
            if ceiling is not None and not (math.isfinite(ceiling) and ceiling > 0):
                raise ValueError(f"a rate must be a finite number above 0, not {ceiling!r}")
        self._ceilings = {lane: each for lane, each in ceilings.items() if each is not None}
        self._ceiling_free = dict.fromkeys(Lane, -math.inf)
        others = _Pace()
        self._paces = {Lane.SUBMIT: _Pace(), Lane.POLL: others, Lane.OTHER: others}
        self._images: InFlightLimit | None = None
        self._sessions = 1

    def share(self, sessions: int) -> None:
        """Use an equal part of the ceilings, because so many sessions keep them together."""
        self._sessions = max(sessions, 1)

    def delay(self, lane: Lane, now: float) -> float:
        """Return the seconds until a request of this lane may be sent; 0.0 means now.

        The delay may become shorter after an answer.
        """
        pace = self._paces[lane]
        return max(pace.paused_until, self._ceiling_free[lane], pace.free, now) - now

    def sent(self, lane: Lane, now: float) -> None:
        """Record that a request of this lane is sent now; call it only after `delay()` returned 0.0."""
        if lane in self._ceilings:
            free, ceiling = self._ceiling_free[lane], self._ceilings[lane]
            self._ceiling_free[lane] = _following(free, now, self._sessions / ceiling)
        pace = self._paces[lane]
        pace.departures.append(now)
        if pace.cubic is not None:
            gap = pace.cubic.gap(now)
            pace.free = _following(pace.free, now, gap)
            pace.cubic.sent()
            if gap == 0:
                pace.cubic = None

    def answered(
        self, lane: Lane, now: float, *, sent_at: float | None = None, in_flight: int | None = None
    ) -> bool:
        """Record an answer other than 429, and return whether delays have become shorter.

        For an accepted submission, ``in_flight`` is the number of images of tasks with a known id and
        no known end, including the new task.
        """
        pace = self._paces[lane]
        sent_at = now if sent_at is None else sent_at
        if self._images is not None and lane is Lane.SUBMIT and in_flight is not None:
            self._images.accepted(in_flight, sent_at)
        if pace.cubic is None or not pace.cubic.answered(now, sent_at):
            return False
        pace.free = min(pace.free, now + pace.cubic.gap(now))
        return True

    def refused(
        self,
        lane: Lane,
        now: float,
        retry_after: float | None,
        *,
        sent_at: float | None = None,
        in_flight: int | None = None,
        is_single: bool = False,
    ) -> None:
        """Record a 429.

        Retry-After values from 0 to 3600 s are obeyed exactly; others are ignored. Refusals of requests
        that were sent before the last one was known belong to the same event. ``in_flight`` excludes
        the refused submission. ``is_single``: the request left alone in an outage, so its refusal tells
        nothing of the rate.
        """
        told = retry_after is not None and 0.0 <= retry_after <= LONGEST_BELIEVED
        self.pause(lane, now, retry_after if told and retry_after is not None else 0.0)
        pace = self._paces[lane]
        sent_at = now if sent_at is None else sent_at
        if sent_at <= pace.event_at:
            return
        pace.event_at = now
        pace.cubic = pace.cubic or CubicRate(pace.departures)
        was_probing, is_other = pace.cubic.is_probing, is_single
        if in_flight is not None and not (was_probing or is_single):
            self._images = self._images or InFlightLimit()
            is_other = self._images.refused(in_flight, now)
        pace.cubic.refused(now, sent_at, told=told, is_other=is_other)
        if not was_probing:
            pace.free = max(pace.free, now + pace.cubic.gap(now))

    def pause(self, lane: Lane, now: float, seconds: float) -> None:
        """Send nothing in a lane for some seconds; a longer pause in progress stays in force."""
        pace = self._paces[lane]
        pace.paused_until = max(pace.paused_until, now + seconds)

    def room_delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until some more images may be in flight; 0.0 means now.

        ``in_flight`` includes submissions in progress. The delay becomes shorter when a task ends.
        """
        return 0.0 if self._images is None else self._images.delay(images, in_flight, now)

    def rate(self, now: float) -> float | None:
        """Return the requests per second of the slower lane; None while no limit is known."""
        cubics = {pace.cubic for pace in self._paces.values()} - {None}
        rates = [rate for each in cubics if each and (rate := each.rate(now)) is not None]
        return min(rates, default=None)


def _following(free: float, now: float, gap: float) -> float:
    """Return the next send time, after a request that was allowed at `free` is sent now."""
    return (free if now - free <= _CATCH_UP else now) + gap
