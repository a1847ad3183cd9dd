"""Estimates the request rate that a server accepts from its 429 answers, as CUBIC does (RFC 9438).

CUBIC over a rate instead of a window, like the adaptive retry mode of the AWS SDKs. A refusal cuts
the rate to `_BETA` of the rate at which it happened, ``w_max``. The rate then follows a cubic curve:
it reaches ``w_max`` after `_K` seconds, stays near it, and probes above it faster and faster. Growth
is relative to ``w_max``, so a doubled limit is found after 29 s whatever the limit is.

Two things differ from TCP, because a server that counts requests is not a queue:

* Bursts and windows let a client exceed the limit for a while, so the rate at the refusal is too
  high, and the rate served since the last cut is at most the limit. ``w_max`` is the middle of both.
* A server may refuse everything for minutes: a window is used up, or the service is out of order.
  Such refusals do not cut the rate again. Single probes at growing gaps find the end, and the rate
  continues from `_BETA` of ``w_max``.
"""

from __future__ import annotations

import math
from collections import deque

from attrs import define

_BETA = 0.85
"""Fraction of ``w_max`` that is left after a cut. TCP's 0.7 would leave 10 % of a limit unused."""
_K, _K_REQUESTS, _LONGEST_K = 8.0, 15.0, 60.0
"""Seconds from a cut to ``w_max``, and requests if these take longer."""
_FORGOTTEN = 64.0
"""Multiple of ``w_max`` from which the rate is unlimited again, 85 s after the last refusal."""
_SPANS = (1.0, 10.0)
"""Seconds over which the rate before a refusal is measured: a burst, and a few slow requests."""
_FIRST_GAP, _GAP_GROWTH = 0.1, 1.5
_LONGEST_GAP, _LONGEST_GAP_TOLD = 4.0, 1.0
"""Seconds between probes. An outage of the limit is over at most 4 s before it is found out; a server
that sends Retry-After has said itself how long to wait."""


@define(eq=False, repr=False)
class CubicRate:
    """The rate of one lane: unlimited before the first refusal, then a sawtooth at the limit."""

    _departures: deque[float]  # when requests were sent, at least the last few seconds
    _w_max: float | None = None
    _grows_from: float = -math.inf
    _cut_at: float = -math.inf
    _probes: int | None = None  # sent since the last refusal; None once one is served
    _told: bool = False

    def rate(self, now: float) -> float | None:
        """Return the requests per second that are allowed; None means unlimited."""
        if self._w_max is None:
            return None
        passed = 0.0 if self._probes is not None else now - self._grows_from
        k = min(max(_K, _K_REQUESTS / self._w_max), _LONGEST_K)
        growth = 1.0 + (1.0 - _BETA) * (passed / k - 1.0) ** 3
        return None if growth > _FORGOTTEN else self._w_max * growth

    @property
    def is_probing(self) -> bool:
        """Whether nothing was served since the last refusal."""
        return self._probes is not None

    def gap(self, now: float) -> float:
        """Return the seconds from a request sent now to the next one."""
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
        if sent_at <= self._cut_at:
            return False
        if self._probes is None:
            return False
        self._probes = None
        self._grows_from = now
        return True

    def refused(self, now: float, sent_at: float, *, told: bool, cut: bool = True) -> None:
        """Record the first refusal of an event; ``told``: it came with Retry-After.

        ``cut`` is False if the refusal has another cause than the rate.
        """
        self._told = told
        if self._probes is not None:
            return
        if cut:
            self._w_max = self._limit(sent_at)
        self._cut_at, self._probes = now, 0

    def _limit(self, sent_at: float) -> float:
        allowed = self.rate(sent_at)
        burst, steady = (self._measured(sent_at, span) for span in _SPANS)
        if allowed is None:
            return max(burst, steady)
        refused = min(allowed, max(burst, steady))
        return math.sqrt(refused * min(steady, refused))

    def _measured(self, until: float, span: float) -> float:
        return sum(until - span < each <= until for each in self._departures) / span
