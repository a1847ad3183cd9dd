"""Detection of quotas per time window.

Many servers allow a quota of ``L`` requests in each window of ``W`` seconds and refuse everything
else until the next window. Such a server differs from a token bucket in two ways: it stays closed
for longer than a bucket of the rate ``L / W`` needs to earn several tokens, and it serves the same
number of requests each time it is open. Two such cycles in a row give ``L``. ``W`` is the time from
one opening to the next. It is rarely known to better than a second or two, so the roundest number
of seconds that fits is used.

After that, each refusal is exact: the quota is the number of requests served in the window, whether
it changed or not, and the server opens again when the window ends. If the last ``W`` seconds before
a refusal always contain the quota, wherever they start, the window is a sliding one.

Pure: times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math

from attrs import define, frozen

_LEAST_LENGTH = 4.0
"""Seconds: shorter windows behave like buckets, and Retry-After cannot tell their length."""
_LEAST_CLOSED = 0.15
"""Minimum fraction of a window for which the server must be closed to be recognised."""
_TOKENS = 3.0
"""If a bucket would have earned this many tokens while the server was closed, it is no bucket."""
_ALIKE = 0.02
"""Fraction by which two counts may differ and still be treated as equal."""
_OPEN, _SURELY_OPEN = 0.25, 50
"""Fraction of a quota, and number of requests, that must be served before a window counts as open.
A sliding window may serve a few requests earlier."""
_LATE = 0.8
"""Fraction of a window after which a refusal means that the rate itself was too high."""
_UNKNOWN = 10**9
"""More requests per window than a client can send."""
_NARROW = 0.4
"""If an opening is known to within this many seconds, wait for the latest possible moment."""
_ROUND = (60.0, 10.0, 30.0, 3600.0, 5.0, 20.0, 15.0, 300.0, 600.0, 900.0, 120.0)
"""Common window lengths in seconds, most likely first."""


@frozen(eq=False, repr=False)
class Span:
    """Bounds of a moment that is not known exactly."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The midpoint."""
        return 0.5 * (self.low + self.high)

    def later(self, seconds: float) -> Span:
        """Return the span shifted by some seconds."""
        return Span(self.low + seconds, self.high + seconds)

    def within(self, other: Span) -> Span | None:
        """Return the intersection of both spans, or None if it is empty."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Span(low, high) if low <= high else None


@define(eq=False, repr=False)
class QuotaSearch:
    """Searches for a quota per window."""

    length: float | None = None
    """Seconds of a window; None until one is recognised."""
    quota: int = 0
    """Requests per window."""
    slides: bool = False
    _opening: Span = Span(-math.inf, -math.inf)  # of the current window
    _turns_at: float = math.inf
    _used: int = 0  # departures in the current window
    _used_before: int = 0  # departures in the previous window
    _too_many: int = _UNKNOWN  # a quota that was refused without probing above it
    # True after more than a quota was served within one window length: the window does not slide.
    _jumps: bool = False
    _doubted: bool = False  # a refusal below the probing rate was attributed to sliding
    _opened: Span | None = None  # when the server last opened
    _opens: Span | None = None  # a possible opening, with few requests served so far
    _closed_at: float = -math.inf
    _served: int = 0  # since the server opened
    _answered: int = 0  # since the possible opening
    _cycle: int = 0  # served from one opening to the next one
    _cycle_before: int = 0

    @property
    def rate(self) -> float | None:
        """Requests per second; None until a window is recognised."""
        return None if self.length is None else self.quota / self.length

    def sent(self, now: float) -> None:
        """Record that a request was sent; not needed before a window is recognised."""
        if self.length is not None and now >= self._turns_at:
            windows = math.floor((now - self._opening.middle) / self.length)
            self._begin(self._opening.later(windows * self.length))
        self._used += 1

    def closed(self, at: float, served: int = 0) -> None:
        """Record that the server closed, after ``served`` requests that were not reported."""
        self._served += served
        if self._opens is None:
            self._closed_at = at
        else:  # few requests were served, so the server had not opened
            self._opens = None
            self._served, self._answered = self._served + self._answered, 0

    def opened(self, when: Span) -> None:
        """Record a possible opening of the server."""
        self._opens = when

    def answered(self, *, late: bool, left: int) -> bool:
        """Record that a request was served, and return whether this revealed a window.

        ``late``: it was sent before the possible opening; ``left``: requests sent since then.
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
        """Update the quota after a refusal, and return whether a window explains the refusal.

        The refused request was sent ``at``, with ``later`` requests after it and ``recent`` ones in
        the last `length` seconds before it. ``climbing``: the session sent more than the quota.
        """
        if self.length is None:
            return False
        opening, used = self._opening, self._used - later - 1
        if at < opening.high:
            # The request may have arrived just before or just after the boundary of the window.
            opening, used = opening.later(-self.length), used + self._used_before
        unsure = 0.5 * (opening.high - opening.low) * self.quota / self.length
        self._jumps |= recent is not None and recent > self.quota + 2.0 * self._slack + unsure
        doubted, self._doubted = self._doubted, False
        used = max(used, 1)
        fits = abs(used - self.quota) <= self._slack + unsure
        if fits and self._jumps:
            self.slides = False
        if fits and not self.slides:
            if climbing and unsure < 1.0:
                self.quota = min(max(self.quota, used), self._too_many - 1)
            elif not climbing and at - opening.middle > _LATE * self.length:
                self._too_many = self.quota
                self.quota = max(self.quota - math.ceil(0.5 * self._slack), 1)
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
        """Return the seconds until the next window opens, or None if unknown.

        ``in_vain``: the preceding pause was too short.
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
        """Discard the window, because it does not explain the refusals."""
        self.length, self._turns_at = None, math.inf

    @property
    def _slack(self) -> float:
        return max(_ALIKE * self.quota, 1.0)

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


def _roundest(length: Span) -> float:
    for each in (*_ROUND, float(round(length.middle))):
        if length.low <= each <= length.high:
            return each
    return length.middle
