"""Decides how fast one session may send; times are arguments, in seconds of a monotonic clock."""

from __future__ import annotations

import enum
import math

from foxapi_async.limits.rate import RateSearch
from foxapi_async.limits.window import WindowSearch
from foxapi_async.retry import LONGEST_BELIEVED

_CATCH_UP = 0.02
"""Seconds of timer lateness that are compensated, so that late timers do not lower the rate."""
_GRACE, _GRACE_GAPS = 0.05, 0.5
"""Seconds, and fraction of the gap between two requests, for which a free turn is reserved for the
lane that is next. A longer time would slow all lanes down: each lane sleeps until its own grace
ends, and is not notified when the other lane sends."""


class Lane(enum.Enum):
    """The purpose of a request. All lanes share one rate."""

    SUBMIT = "submit"
    POLL = "poll"
    OTHER = "other"


class RateScheduler:
    """Decides when a request may be sent.

    Before the first 429, only the ceilings apply. After it, one rate applies to the whole session. It
    is shared equally between the lanes that have requests waiting; a lane may use what the others
    leave. A cap on images in flight is distinguished from a rate limit.

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
        self._waiting = dict.fromkeys(Lane, 0)
        # Start-time fair queueing (Goyal, Vin and Cheng 1996) with equal weights.
        self._finish = dict.fromkeys(Lane, 0.0)
        self._virtual = 0.0
        self._rate = RateSearch()
        self._window = WindowSearch()
        self._free = -math.inf
        self._paused_until = -math.inf
        self._event_at = -math.inf
        # The estimate (may be None) before refusals that may later turn out to be caused by a cap.
        self._doubtful: tuple[float | None] | None = None

    def waiting(self, lane: Lane, count: int) -> None:
        """Set how many requests of a lane wait for the rate, not for images in flight to end."""
        self._waiting[lane] = count

    def delay(self, lane: Lane, now: float) -> float:
        """Return the seconds until a request of this lane may be sent; 0.0 means now.

        The delay may become shorter after an answer or when another lane becomes idle.
        """
        earliest = max(self._paused_until, self._ceiling_free[lane])
        rate = self._rate.rate(now)
        if rate is not None:
            free = self._free
            if self._is_behind(lane, max(free, now)):
                free += min(_GRACE, _GRACE_GAPS / rate)
            earliest = max(earliest, free)
        return max(earliest - now, 0.0)

    def sent(self, lane: Lane, now: float) -> None:
        """Record that a request of this lane is sent now; call it only after `delay()` returned 0.0."""
        if lane in self._ceilings:
            free, ceiling = self._ceiling_free[lane], self._ceilings[lane]
            self._ceiling_free[lane] = _following(free, now, ceiling, _CATCH_UP)
        self._rate.sent(now)
        if lane is Lane.SUBMIT:
            self._window.submissions += 1
        else:
            self._window.others += 1
        rate = self._rate.rate(now)
        if rate is not None:
            self._free = _following(self._free, now, rate, self._rate.catch_up)
        self._virtual = max(self._virtual, self._finish[lane])
        self._finish[lane] = self._virtual + 1.0

    def answered(
        self, lane: Lane, now: float, *, sent_at: float | None = None, in_flight: int | None = None
    ) -> None:
        """Record an answer other than 429.

        For an accepted submission, ``in_flight`` is the number of images of tasks with a known id and
        no known end, including the new task.
        """
        self._rate.answered(now, now if sent_at is None else sent_at)
        if self._window.limit is not None:
            self._window.answered(now)
            if lane is Lane.SUBMIT and in_flight is not None:
                self._window.accepted(in_flight)

    def refused(
        self,
        lane: Lane,
        now: float,
        retry_after: float | None,
        *,
        sent_at: float | None = None,
        in_flight: int | None = None,
    ) -> None:
        """Record a 429.

        Retry-After values from 0 to 3600 s are obeyed exactly; others are ignored. Refusals of requests
        that were sent before the last pause began belong to the same event; without ``sent_at``,
        refusals that arrive during the pause do. ``in_flight`` excludes the refused submission.
        """
        is_believed = retry_after is not None and 0.0 <= retry_after <= LONGEST_BELIEVED
        asked = retry_after if is_believed else None
        left = now if sent_at is None else sent_at
        if left <= self._event_at or (sent_at is None and now < self._paused_until):
            self.pause(now, asked or 0.0)
            return
        self._event_at = now
        if lane is not Lane.SUBMIT:
            self._window.poll_refused()
            self._doubtful = None
        elif in_flight is not None:
            if self._window.is_cause(in_flight):
                self._window.refused(now, in_flight, asked or 0.0)
                self.pause(now, asked or 0.0)
                if self._doubtful is not None:
                    self._rate.restore(*self._doubtful)
                    self._doubtful = None
                return
            self._doubtful = self._doubtful or (self._rate.estimate,)
        pause = self._rate.refused(now, left, asked)
        self.pause(now, pause if asked is None else asked)

    def pause(self, now: float, seconds: float) -> None:
        """Send nothing for some seconds; a longer pause in progress stays in force."""
        self._paused_until = max(self._paused_until, now + seconds)
        self._free = max(self._free, self._paused_until)
        self._rate.resume(self._paused_until)

    def room_delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until some more images may be in flight; 0.0 means now.

        ``in_flight`` includes submissions in progress. The delay becomes shorter when a task ends.
        """
        return 0.0 if self._window.limit is None else self._window.delay(images, in_flight, now)

    def rate(self, now: float) -> float | None:
        """Return the requests per second for all lanes together; None if no limit is known."""
        return self._rate.rate(now)

    def _is_behind(self, lane: Lane, then: float) -> bool:
        turn = max(self._finish[lane], self._virtual)
        return any(
            max(self._finish[other], self._virtual) < turn
            for other in Lane
            if other is not lane and self._waiting[other] and self._ceiling_free[other] <= then
        )


def _following(free: float, now: float, rate: float, catch_up: float) -> float:
    """Return the next send time, after a request that was allowed at `free` is sent now."""
    return (free if now - free <= catch_up else now) + 1.0 / rate
