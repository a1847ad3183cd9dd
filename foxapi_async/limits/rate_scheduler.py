"""How fast one session may send, found from the server's 429s.

Pure: the clock is an argument, in seconds of any monotonic clock that never runs backwards.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from foxapi_async.limits.rate import RateSearch
from foxapi_async.limits.window import WindowSearch
from foxapi_async.retry import LONGEST_BELIEVED

_CATCH_UP = 0.02
"""Seconds by which a late request may be made up for: a timer that fires late loses no pace."""

_GRACE, _GRACE_GAPS = 0.05, 0.5
"""Seconds, and gaps between two requests, for which a free place is kept for the lane whose turn it
is. Longer than a gap would slow everybody down: each lane sleeps until its own grace is over, and
does not hear that the other has left in the meantime."""


class Lane(enum.Enum):
    """What a request is for; the lanes share one rate."""

    SUBMIT = "submit"
    POLL = "poll"
    OTHER = "other"


class Pace(NamedTuple):
    """A snapshot of what the pacer allows."""

    rate: float | None
    """Requests per second for all lanes together; None while no limit is known."""
    paused_until: float | None
    """Moment on the caller's clock before which nothing leaves; None if nothing is paused."""
    window: int | None
    """Images in flight that the server bears; None while no limit is known."""


class RateScheduler:
    """Decides when a request may leave.

    Before any 429 only the ceilings count. Then one rate holds for the whole session; it is divided
    evenly between the lanes that have something to send, and what one lane leaves goes to the
    others. A cap on images in flight is told apart from a limit on the rate.

    The caller asks `delay()`, sleeps that long, asks again, and calls `sent()` when it was 0.0.
    Every answer is reported with `answered()` or `refused()`; a request that got none needs no
    report.

    Args:
        submissions_per_second: Ceiling for submissions, above 0; None for no ceiling.
        polls_per_second: Ceiling for polls, above 0; None for no ceiling.
            In any T seconds at most ``ceiling * (T + 0.02) + 1`` requests of the lane leave.

    Raises:
        ValueError: a ceiling is not a finite number above 0.
    """

    def __init__(
        self,
        *,
        submissions_per_second: float | None = None,
        polls_per_second: float | None = None,
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
        # The estimate, itself perhaps None, from before refusals that may yet prove to be a cap.
        self._doubtful: tuple[float | None] | None = None

    def waiting(self, lane: Lane, count: int) -> None:
        """Say how many requests of a lane could leave now if only the pacer let them.

        A submission that waits for room among the images in flight does not count.
        """
        self._waiting[lane] = count

    def delay(self, lane: Lane, now: float) -> float:
        """Return the seconds until a request of this lane may leave; 0.0 means now.

        It may become shorter by an answer or when another lane falls idle, so that it is worth
        asking again after those.
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
        """Record that a request of this lane leaves now; only after `delay()` returned 0.0."""
        if lane in self._ceilings:
            self._ceiling_free[lane] = _following(
                self._ceiling_free[lane], now, self._ceilings[lane], _CATCH_UP
            )
        self._rate.sent(now)
        self._window.sent(submission=lane is Lane.SUBMIT)
        rate = self._rate.rate(now)
        if rate is not None:
            self._free = _following(self._free, now, rate, self._rate.catch_up)
        self._virtual = max(self._virtual, self._finish[lane])
        self._finish[lane] = self._virtual + 1.0

    def answered(
        self,
        lane: Lane,
        now: float,
        *,
        sent_at: float | None = None,
        in_flight: int | None = None,
    ) -> None:
        """Record an answer other than 429.

        Args:
            lane: The lane of the request.
            now: The present.
            sent_at: When the request left.
            in_flight: For an accepted submission: images of tasks whose ids are known and that are
                not known to have ended, the new one included.
        """
        self._rate.answered(now, now if sent_at is None else sent_at)
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

        Args:
            lane: The lane of the request.
            now: The present.
            retry_after: Seconds that the server asks for. From 0 to 3600 it is honoured exactly;
                anything else is not believed.
            sent_at: When the refused request left. Refusals of requests that left before the last
                pause began are one event with it; without it, those that arrive during the pause.
            in_flight: For a submission: as for `answered()`, the refused one not included.
        """
        asked = _believed(retry_after)
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
        """Let nothing leave for so many seconds, or longer if a longer pause is under way."""
        self._paused_until = max(self._paused_until, now + seconds)
        self._free = max(self._free, self._paused_until)
        self._rate.resume(self._paused_until)

    def room_delay(self, images: int, in_flight: int, now: float) -> float:
        """Return the seconds until so many more images may be in flight; 0.0 means now.

        A task that ends makes room sooner, so ask again then.

        Args:
            images: How many images the next submission asks for.
            in_flight: Images that the session holds: of known tasks that have not ended, and of
                submissions under way.
            now: The present.
        """
        return self._window.delay(images, in_flight, now)

    def snapshot(self, now: float) -> Pace:
        """Return what is allowed now."""
        paused = self._paused_until if self._paused_until > now else None
        return Pace(rate=self._rate.rate(now), paused_until=paused, window=self._window.limit)

    def _is_behind(self, lane: Lane, then: float) -> bool:
        turn = max(self._finish[lane], self._virtual)
        return any(
            max(self._finish[other], self._virtual) < turn
            for other in Lane
            if other is not lane and self._waiting[other] and self._ceiling_free[other] <= then
        )


def _following(free: float, now: float, rate: float, catch_up: float) -> float:
    """Return when the next request may leave if one that was free to leave at `free` leaves now."""
    late = now - free
    return (free if late <= catch_up else now) + 1.0 / rate


def _believed(retry_after: float | None) -> float | None:
    if retry_after is None or not 0.0 <= retry_after <= LONGEST_BELIEVED:
        return None
    return retry_after
