"""When requests left, and what a refusal says about the server in the light of it.

Pure: moments are seconds of any monotonic clock that never runs backwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Departures"]

_REMEMBERED = 4096
"""More than can be under way, or matter to the rate of the last second."""
_FITTED = 42.0
"""Seconds before a refusal in which its cause is looked for."""
_HANDFUL = 8
"""Requests from whose departures a rate can be told."""
_INSTANT = 1e-3
"""Seconds below which a span is too short to divide by."""


class Departures:
    """The moments of the last few thousand departures."""

    def __init__(self) -> None:
        self._moments = deque[float](maxlen=_REMEMBERED)
        self.add: Callable[[float], None] = self._moments.append
        """Record a departure; the deque's own method, for it is called with each request."""

    def last(self, default: float) -> float:
        """Return the last departure, or the default if there was none."""
        return self._moments[-1] if self._moments else default

    def after(self, moment: float) -> int:
        """Count those after a moment."""
        count = 0
        for each in reversed(self._moments):
            if each <= moment:
                break
            count += 1
        return count

    def within(self, until: float, span: float | None) -> int | None:
        """Count those of a span of seconds before a moment; None if they are not remembered."""
        if span is None or not self._moments or self._moments[0] > until - span:
            return None
        return sum(1 for each in self._moments if until - span < each < until)

    def per_second(self, until: float, span: float) -> float:
        """Return the rate in the seconds before a moment, that moment included."""
        return sum(1 for each in self._moments if until - span < each <= until) / span

    def fit(
        self, refused_at: float, since: float, *, rate: float, burst: float
    ) -> tuple[float, float]:
        """Return the burst that a refusal means if the rate is as given, and the other way round.

        A token bucket that refuses had less than one token left, so that for some earlier departure
        ``burst + rate * time since`` is less than what left since, itself and the refused included.

        Args:
            refused_at: When the refused request left.
            since: The end of the last pause; what left before says nothing.
            rate: Requests per second.
            burst: Requests at once.
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
