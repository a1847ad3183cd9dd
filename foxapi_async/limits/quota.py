"""Quotas per window, recognised by what was served between one closing of the server and the next.

Many servers count: a quota of ``L`` requests in each window of ``W`` seconds, after which everything
is refused until the next window. What tells such a server from a token bucket: it stays closed for
longer than a bucket of the rate ``L / W`` would take to earn several tokens, and between opening and
closing it serves the same number each time. Two such cycles in a row give ``L``; the time from
opening to opening is ``W``, which is rarely known better than to a second or two, so the roundest
number of seconds that fits is taken.

From then on every refusal is exact: what was served in the window is the quota, whether it is the old
one, a larger or a smaller one, and the server opens again when the window ends. If instead the last
``W`` seconds, wherever they began, hold the quota, then the window slides.

Pure: moments are seconds of any monotonic clock.
"""

from __future__ import annotations

import math

from attrs import define, frozen

_LEAST_LENGTH = 4.0
"""Seconds: shorter windows behave like buckets, and Retry-After cannot tell their length."""
_LEAST_CLOSED = 0.15
"""Part of a window for which the server must have been closed to be recognised."""
_TOKENS = 3.0
"""Requests that a bucket would have earned while the server was closed: then it is none."""
_ALIKE = 0.02
"""Part of a count by which two may differ and still be the same."""
_OPEN, _SURELY_OPEN = 0.25, 50
"""Part of a quota, and requests, that are served when a window has opened: a few may slip through
before, where it slides."""
_LATE = 0.8
"""Part of a window after which a refusal means that the pace itself was too high."""
_UNKNOWN = 10**9
"""Requests per window that nobody can send."""
_NARROW = 0.4
"""Seconds within which an opening is known well enough to wait for the end of them."""
_ROUND = (60.0, 10.0, 30.0, 3600.0, 5.0, 20.0, 15.0, 300.0, 600.0, 900.0, 120.0)
"""Seconds of a window that people choose, the likeliest first."""


@frozen(eq=False, repr=False)
class Span:
    """A moment that lies between two others."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The likeliest moment, if all are alike."""
        return 0.5 * (self.low + self.high)

    def later(self, seconds: float) -> Span:
        """Return the span that is so many seconds later."""
        return Span(self.low + seconds, self.high + seconds)

    def within(self, other: Span) -> Span | None:
        """Return what both spans have in common, None if that is nothing."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Span(low, high) if low <= high else None


@define(eq=False, repr=False)
class QuotaSearch:
    """One unknown quota per window, if there is one."""

    length: float | None = None
    """Seconds of a window; None while none was recognised."""
    quota: int = 0
    """Requests per window."""
    slides: bool = False
    _opening: Span = Span(-math.inf, -math.inf)  # of the present window
    _turns_at: float = math.inf
    _used: int = 0  # departures in the present window
    _used_before: int = 0  # and in the one before
    _too_many: int = _UNKNOWN  # a quota that was refused although it was only held
    _jumps: bool = (
        False  # more than a quota was served in the length of a window: it does not slide
    )
    _doubted: bool = False  # it was put down to sliding although the rate was only held
    _opened: Span | None = None  # when the server opened last
    _opens: Span | None = None  # when it seems to have opened, but little was served yet
    _closed_at: float = -math.inf
    _served: int = 0  # since the server opened
    _answered: int = 0  # and since it seems to have opened again
    _cycle: int = 0  # served from one opening to the next
    _cycle_before: int = 0

    @property
    def rate(self) -> float | None:
        """Requests per second; None while no window was recognised."""
        return None if self.length is None else self.quota / self.length

    def sent(self, now: float) -> None:
        """Record that a request leaves; not needed before a window was recognised."""
        if now >= self._turns_at:
            self._turn(now)
        self._used += 1

    def closed(self, at: float, served: int = 0) -> None:
        """Record that the server closed, having served so many of whom nothing was reported."""
        self._served += served
        if self._opens is None:
            self._closed_at = at
        else:  # little slipped through, the server had not opened
            self._opens = None
            self._served, self._answered = self._served + self._answered, 0

    def opened(self, when: Span) -> None:
        """Record when the server seems to have opened."""
        self._opens = when

    def answered(self, *, late: bool, left: int) -> bool:
        """Record that a request was served, and return whether a window was recognised by it.

        Args:
            late: Whether it left before the server seemed to open.
            left: Requests that left since then.
        """
        if self._opens is None or late:
            self._served += 1
            return False
        self._answered += 1
        if self._answered < min(_OPEN * self._served, _SURELY_OPEN):
            return False
        before, when = self._opened, self._opens
        self._opened, self._opens = when, None
        self._cycle_before, self._cycle = self._cycle, self._served
        self._served, self._answered = self._answered, 0
        if self.length is not None:
            if not self.slides:
                self._compare(when)
            return False
        return before is not None and self._recognise(before, when, left)

    def explain(self, at: float, *, later: int, climbing: bool, recent: int | None) -> bool:
        """Learn from a refusal, and return whether a window explains it.

        Args:
            at: When the refused request left.
            later: Requests that left after it.
            climbing: Whether more was sent than the quota allows.
            recent: Requests that left in the last `length` seconds before; None if unknown.
        """
        if self.length is None:
            return False
        opening, used = self._opening, self._used - later - 1
        if at < opening.high:
            # Just before the turn, as likely as just after it.
            opening, used = opening.later(-self.length), used + self._used_before
        unsure = 0.5 * (opening.high - opening.low) * self.quota / self.length
        self._jumps |= recent is not None and recent > self.quota + 2.0 * self._slack + unsure
        doubted, self._doubted = self._doubted, False
        used = max(used, 1)
        if self._fits(used, unsure):
            late = at - opening.middle > _LATE * self.length
            self._adjust(used, climbing=climbing, late=late, exact=unsure < 1.0)
            return True
        self._too_many = _UNKNOWN
        if recent is not None and self._slid(recent, climbing=climbing, doubted=doubted):
            return True
        if not self.slides and (used > self.quota or not climbing):
            self.quota = used
            return True
        self.forget()
        return False

    def reopening(self, now: float, refused_at: float, *, in_vain: bool) -> float | None:
        """Return the seconds until the next window opens, None if that is unknown.

        Args:
            now: The present.
            refused_at: When the refused request left.
            in_vain: Whether the pause before it was too short.
        """
        if self.length is None or self.slides:
            return None
        opening = self._opening
        if opening.high <= refused_at and not in_vain:
            opening = opening.later(self.length)
        low = max(opening.low, refused_at)
        if low >= opening.high:
            return None
        narrow = opening.high - low <= _NARROW
        return max((opening.high if narrow else 0.5 * (low + opening.high)) - now, 0.0)

    def forget(self) -> None:
        """Give up the window: it does not explain what happened."""
        self.length, self._turns_at = None, math.inf

    @property
    def _slack(self) -> float:
        return max(_ALIKE * self.quota, 1.0)

    def _fits(self, used: int, unsure: float) -> bool:
        fits = abs(used - self.quota) <= self._slack + unsure
        if fits and self._jumps:
            self.slides = False
        return fits and not self.slides

    def _adjust(self, used: int, *, climbing: bool, late: bool, exact: bool) -> None:
        if climbing and exact:
            self.quota = min(max(self.quota, used), self._too_many - 1)
        elif late and not climbing:
            self._too_many = self.quota
            self.quota = max(self.quota - math.ceil(0.5 * self._slack), 1)

    def _slid(self, recent: int, *, climbing: bool, doubted: bool) -> bool:
        alike = abs(recent - self.quota) <= 2.0 * self._slack
        if alike and not self._jumps and not doubted:
            self._doubted, self.slides = not climbing, True
        elif not (self.slides and climbing and recent > self.quota):
            return False
        if climbing:
            self.quota = recent
        return True

    def _recognise(self, before: Span, when: Span, left: int) -> bool:
        if abs(self._cycle - self._cycle_before) > max(_ALIKE * self._cycle, 1.0):
            return False
        length = _roundest(Span(when.low - before.high, when.high - before.low))
        least = max(_LEAST_CLOSED * length, _TOKENS * length / max(self._cycle, 1))
        if length < _LEAST_LENGTH or when.high - self._closed_at < least:
            return False
        self.length, self.quota, self.slides = length, max(self._cycle, 1), False
        self._too_many, self._jumps, self._doubted = _UNKNOWN, False, False
        self._begin(when.within(before.later(length)) or when)
        self._used_before, self._used = 0, left
        return True

    def _compare(self, when: Span) -> None:
        assert self.length is not None
        periods = round((when.middle - self._opening.middle) / self.length)
        seen = self._opening.later(periods * self.length).within(when)
        if seen is None:
            self.forget()
        else:
            self._opening = seen.later(-periods * self.length)
            self._turns_at = self._opening.middle + self.length

    def _begin(self, opening: Span) -> None:
        assert self.length is not None
        self._opening, self._used_before, self._used = opening, self._used, 0
        self._turns_at = opening.middle + self.length

    def _turn(self, now: float) -> None:
        assert self.length is not None
        self._begin(
            self._opening.later(
                math.floor((now - self._opening.middle) / self.length) * self.length
            )
        )


def _roundest(length: Span) -> float:
    for each in _ROUND:
        if length.low <= each <= length.high:
            return each
    whole = float(round(length.middle))
    return whole if length.low <= whole <= length.high else length.middle
