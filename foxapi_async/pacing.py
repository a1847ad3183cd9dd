"""How fast one session may send, found from the server's 429s.

Pure: the clock is an argument, in seconds of any monotonic clock that never runs backwards.
"""

from __future__ import annotations

import enum
import math

from attrs import frozen

from foxapi_async.backoff import LONGEST_BELIEVED

_CATCH_UP = 0.02
"""Seconds by which a late request may be made up for: a timer that fires late loses no pace."""

_GRACE = 0.05
"""Seconds for which a free place is kept for the lane whose turn it is."""


class Lane(enum.Enum):
    """What a request is for; the lanes share one rate."""

    SUBMIT = "submit"
    POLL = "poll"
    OTHER = "other"


@frozen
class Pace:
    """A snapshot of what the pacer allows."""

    rate: float | None
    """Requests per second for all lanes together; None while no limit is known."""
    paused_until: float | None
    """Moment on the caller's clock before which nothing leaves; None if nothing is paused."""
    window: int | None
    """Images in flight that the server bears; None while no limit is known."""


class Pacer:
    """Decides when a request may leave.

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
        self._ceilings: dict[Lane, float] = {}
        for lane, ceiling in (
            (Lane.SUBMIT, submissions_per_second),
            (Lane.POLL, polls_per_second),
        ):
            if ceiling is None:
                continue
            if not (math.isfinite(ceiling) and ceiling > 0):
                raise ValueError(f"a rate must be a finite number above 0, not {ceiling!r}")
            self._ceilings[lane] = ceiling
        self._ceiling_free = dict.fromkeys(self._ceilings, -math.inf)
        self._waiting = dict.fromkeys(Lane, 0)
        self._turns = dict.fromkeys(Lane, 0.0)
        self._rate: float | None = None
        self._free = -math.inf
        self._paused_until = -math.inf
        self._event_at = -math.inf
        self._window: int | None = None
        self._answered = 0

    def waiting(self, lane: Lane, count: int) -> None:
        """Say how many requests of a lane could leave now if only the pacer let them.

        A submission that waits for room among the images in flight does not count.
        """
        self._waiting[lane] = count

    def delay(self, lane: Lane, now: float) -> float:
        """Return the seconds until a request of this lane may leave; 0.0 means now."""
        earliest = max(self._paused_until, self._ceiling_free.get(lane, -math.inf))
        if self._rate is not None:
            free = max(self._free, self._paused_until)
            if self._before(lane):
                free += _GRACE
            earliest = max(earliest, free)
        return max(earliest - now, 0.0)

    def sent(self, lane: Lane, now: float) -> None:
        """Record that a request of this lane leaves now; only after `delay()` returned 0.0."""
        if lane in self._ceilings:
            late = max(self._ceiling_free[lane], now - _CATCH_UP)
            self._ceiling_free[lane] = late + 1.0 / self._ceilings[lane]
        if self._rate is not None:
            self._free = max(self._free, now - _CATCH_UP) + 1.0 / self._rate
        behind = min(
            (self._turns[each] for each in Lane if self._waiting[each]), default=self._turns[lane]
        )
        self._turns[lane] = max(self._turns[lane], behind) + 1.0

    def answered(self, lane: Lane, now: float, *, in_flight: int | None = None) -> None:  # noqa: ARG002
        """Record an answer other than 429.

        Args:
            lane: The lane of the request.
            now: The present.
            in_flight: For an accepted submission: images of tasks whose ids are known and that are
                not known to have ended, the new one included.
        """
        self._answered += 1
        if self._rate is not None:
            self._rate += self._rate * 0.01
        if in_flight is not None and self._window is not None:
            self._window = max(self._window, in_flight)

    def refused(
        self,
        lane: Lane,  # noqa: ARG002
        now: float,
        retry_after: float | None,
        *,
        sent_at: float | None = None,
        in_flight: int | None = None,  # noqa: ARG002
    ) -> None:
        """Record a 429.

        Args:
            lane: The lane of the request.
            now: The present.
            retry_after: Seconds that the server asks for. From 0 to 3600 it is honoured exactly;
                anything else is not believed.
            sent_at: When the refused request left. Refusals of requests that left before a pause
                began are one event; without it, those that arrive during the pause are.
            in_flight: For a submission: as for `answered()`, the refused one not included.
        """
        believed = retry_after is not None and 0.0 <= retry_after <= LONGEST_BELIEVED
        if believed and retry_after is not None:
            self.pause(now, retry_after)
        if (now if sent_at is None else sent_at) <= max(self._event_at, self._paused_until):
            return
        self._event_at = now
        self._rate = max((self._rate or 20.0) / 2, 0.1)
        if not believed:
            self.pause(now, 1.0)

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing leave for so many seconds, or longer if a longer pause is under way."""
        self._paused_until = max(self._paused_until, now + seconds)

    def room_delay(self, images: int, in_flight: int, now: float) -> float:  # noqa: ARG002
        """Return the seconds until so many more images may be in flight; 0.0 means now.

        A task that ends makes room sooner, so ask again then.

        Args:
            images: How many images the next submission asks for.
            in_flight: Images that the session holds: of known tasks that have not ended, and of
                submissions under way.
            now: The present.
        """
        if self._window is None or in_flight == 0 or in_flight + images <= self._window:
            return 0.0
        return 1.0

    def snapshot(self, now: float) -> Pace:
        """Return what is allowed now."""
        paused = self._paused_until if self._paused_until > now else None
        return Pace(rate=self._rate, paused_until=paused, window=self._window)

    def _before(self, lane: Lane) -> bool:
        turn = self._turns[lane]
        return any(self._turns[each] < turn for each in Lane if self._waiting[each])
