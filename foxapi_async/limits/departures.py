"""A log of when requests were sent, in seconds of any monotonic clock, to interpret refusals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_REMEMBERED = 4096
"""Entries kept: more than can be in progress, or matter to the rate of the last second."""
_FITTED = 42.0
"""Seconds before a refusal that are searched for its cause."""
_HANDFUL = 8
"""Requests needed to estimate a rate."""
_INSTANT = 1e-3
"""Seconds below which a span is too short to divide by."""


class Departures:
    """The send times of the last few thousand requests."""

    def __init__(self) -> None:
        self._moments = deque[float](maxlen=_REMEMBERED)
        self.add: Callable[[float], None] = self._moments.append
        """Record a departure. This is the deque's own method because it runs for each request."""

    def last(self, default: float) -> float:
        """Return the time of the last departure, or the default if there was none."""
        return self._moments[-1] if self._moments else default

    def after(self, moment: float) -> int:
        """Count the departures after a moment."""
        count = 0
        for each in reversed(self._moments):
            if each <= moment:
                break
            count += 1
        return count

    def within(self, until: float, span: float | None) -> int | None:
        """Count the departures in a span of seconds before a moment; None if the log is too short."""
        if span is None or not self._moments or self._moments[0] > until - span:
            return None
        return sum(1 for each in self._moments if until - span < each < until)

    def per_second(self, until: float, span: float) -> float:
        """Return the rate in the span of seconds up to and including a moment."""
        return sum(1 for each in self._moments if until - span < each <= until) / span

    def fit(
        self, refused_at: float, since: float, *, rate: float, burst: float
    ) -> tuple[float, float]:
        """Return the burst that a refusal implies at the given rate, and the rate at the given burst.

        A token bucket that refuses had less than one token left. So for some earlier departure,
        ``burst + rate * time since`` is less than the number of requests sent since then,
        including that departure and the refused request. Departures before ``since``, the end of the
        last pause, are ignored.
        """
        needed, reached, count = 1.0, 0.0, 1
        least = min(_HANDFUL, rate)
        for moment in reversed(self._moments):
            if moment >= refused_at:
                continue
            span = refused_at - moment
            if moment < since or span > _FITTED:
                break
            count += 1
            needed = max(needed, count - rate * span)
            if count > least:
                reached = max(reached, (count - burst) / max(span, _INSTANT))
        return needed, reached
