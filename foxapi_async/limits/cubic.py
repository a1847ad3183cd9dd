"""Estimates the request rate that a server accepts from its 429 answers, as CUBIC does (RFC 9438).

CUBIC over a rate instead of a window, like the adaptive retry mode of the AWS SDKs. A refusal cuts
the rate to `_BETA` of ``w_max``, the rate at which it happened. The rate then follows a cubic curve: it
is back at ``w_max`` after `_K` seconds, stays near it, and climbs above it faster and faster. Growth is
relative to ``w_max``, so a doubled limit is found after 23 s, whatever it is.

Two things differ from TCP, because a server that counts requests is not a queue:

* A burst or a window lets a client exceed the limit for a while, so the rate at the refusal is too
  high. The rate of the last 10 s, pauses included, is closer. ``w_max`` is the geometric mean of both.
* A server may refuse everything for minutes: a window is used up, or there is an outage. Such refusals
  tell nothing of the limit, so they do not cut the rate again. Single probes at growing gaps find the
  end, and the rate goes on from `_BETA` of ``w_max``.
"""

from __future__ import annotations

import math
from collections import deque

from attrs import define

_BETA = 0.85
"""Fraction of ``w_max`` that is left after a cut. TCP's 0.7 would use 0.9 of a limit, not 0.95."""
_K, _K_REQUESTS, _LONGEST_K = 8.0, 15.0, 60.0
"""Seconds from a cut to ``w_max``: as long as 15 requests take, at least 8 s, at most a minute. With 10
s, a doubled limit was found too late; with fewer requests, more than one in 10 was refused."""
_FORGOTTEN = 64.0
"""Multiple of ``w_max`` from which the rate is unlimited again: a minute after `_K`."""
_BURST, _STEADY = 1.0, 10.0
"""Seconds over which the rate before a refusal is measured."""
_LEAST_FIRST = 10.0
"""The least ``w_max`` after the first refusal: one of the first requests says little of the limit."""
_FIRST_GAP, _GAP_GROWTH = 0.1, 1.5
_LONGEST_GAP, _LONGEST_GAP_TOLD = 4.0, 1.0
"""Seconds between probes. The end of an outage is found at most 4 s late. A server that has said with
Retry-After when to come again is asked each second then."""


@define(eq=False, repr=False)
class CubicRate:
    """The rate of one lane: a sawtooth at the limit, and single probes while nothing is served."""

    _departures: deque[float]  # when requests were sent, also before the first refusal
    _w_max: float | None = None
    _grows_from: float = -math.inf
    _refused_at: float = -math.inf  # when the last refusal after a served request became known
    _probes: int | None = None  # sent since the last refusal; None once one is served
    _told: bool = False

    def rate(self, now: float) -> float | None:
        """Return the requests per second that are allowed; None means unlimited."""
        if self._w_max is None:
            return None
        k = min(max(_K, _K_REQUESTS / self._w_max), _LONGEST_K)
        age = 0.0 if self.is_probing else now - self._grows_from
        growth = 1.0 + (1.0 - _BETA) * (age / k - 1.0) ** 3
        return None if growth > _FORGOTTEN else self._w_max * growth

    @property
    def is_probing(self) -> bool:
        """Whether nothing was served since the last refusal."""
        return self._probes is not None

    def gap(self, now: float) -> float:
        """Return the seconds from a request that is sent now to the next one."""
        rate = self.rate(now)
        gap = 0.0 if rate is None else 1.0 / rate
        if self._probes is None:
            return gap
        longest = _LONGEST_GAP_TOLD if self._told else _LONGEST_GAP
        grown = max(gap, _FIRST_GAP) * _GAP_GROWTH ** min(self._probes, 50)
        return max(gap, min(grown, longest))

    def sent(self) -> None:
        """Record that a request was sent."""
        if self._probes is not None:
            self._probes += 1

    def answered(self, now: float, sent_at: float) -> bool:
        """Record an answer other than 429, and return whether it ends the probing."""
        if self._probes is None or sent_at <= self._refused_at:
            return False
        self._probes, self._grows_from = None, now
        return True

    def refused(self, now: float, sent_at: float, *, told: bool, is_other: bool = False) -> None:
        """Record the first refusal of an event.

        ``told``: it came with Retry-After; ``is_other``: the rate is not its cause.
        """
        self._told = told
        if self._probes is not None:
            return
        if not is_other:
            self._w_max = self._refused_rate(sent_at)
        self._refused_at, self._probes = now, 0

    def _refused_rate(self, sent_at: float) -> float:
        allowed = self.rate(sent_at)
        burst, steady = (self._measured(sent_at, span) for span in (_BURST, _STEADY))
        if allowed is None:
            return max(burst, steady, _LEAST_FIRST)
        reached = min(allowed, max(burst, steady))
        return math.sqrt(reached * min(steady, reached))

    def _measured(self, until: float, span: float) -> float:
        count = sum(until - span < each <= until for each in self._departures)
        # A session that has just begun to send has not used the whole span.
        first = self._departures[0] if self._departures else until
        return max(count, 1) / max(min(span, until - first), _BURST)
