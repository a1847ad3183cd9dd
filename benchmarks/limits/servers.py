"""Simulated servers with a limit; each request is served or answered 429."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import define


class Server(Protocol):
    """Serves or refuses requests in the order of their arrival."""

    rate: float

    def allows(self, now: float) -> bool:
        """Return whether a request that arrives now is served, and count it if so."""
        ...

    def free_in(self, now: float) -> float:
        """Return the seconds until a request would be served."""
        ...


class TokenBucket:
    """Earns ``rate`` tokens per second up to ``burst``; a request costs one."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, max(burst, 1.0)
        self._tokens, self._at = self._burst, 0.0

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        # The burst changes in proportion: a plan that is twice as large has twice the burst.
        self._burst = max(self._burst * rate / self._rate, 1.0)
        self._rate = rate

    def _earn(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now

    def allows(self, now: float) -> bool:
        self._earn(now)
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True

    def free_in(self, now: float) -> float:
        self._earn(now)
        return max(1.0 - self._tokens, 0.0) / self._rate


class FixedWindow:
    """Serves a whole number of requests, near ``rate * length``, in each window of that length.

    The windows begin at multiples of the length, shifted by ``phase``.
    """

    def __init__(self, rate: float, length: float, phase: float = 0.0) -> None:
        self._length, self._phase = length, phase
        self._window, self._used = -1, 0
        self.rate = rate

    @property
    def rate(self) -> float:
        return self._quota / self._length

    @rate.setter
    def rate(self, rate: float) -> None:
        self._quota = max(round(rate * self._length), 1)

    def allows(self, now: float) -> bool:
        window = math.floor((now - self._phase) / self._length)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used >= self._quota:
            return False
        self._used += 1
        return True

    def free_in(self, now: float) -> float:
        return (self._window + 1) * self._length + self._phase - now


class SlidingWindow:
    """Serves a whole number of requests, near ``rate * length``, in any span of that length."""

    def __init__(self, rate: float, length: float) -> None:
        self._length = length
        self._served: deque[float] = deque()
        self.rate = rate

    @property
    def rate(self) -> float:
        return self._quota / self._length

    @rate.setter
    def rate(self, rate: float) -> None:
        self._quota = max(round(rate * self._length), 1)

    def allows(self, now: float) -> bool:
        while self._served and self._served[0] <= now - self._length:
            self._served.popleft()
        if len(self._served) >= self._quota:
            return False
        self._served.append(now)
        return True

    def free_in(self, now: float) -> float:
        beyond = len(self._served) - self._quota
        return max(self._served[beyond] + self._length - now, 0.0) if beyond >= 0 else 0.0


@define
class Outage:
    """Serves what another server serves, and nothing from ``begin`` to ``end``."""

    server: Server
    begin: float
    end: float

    @property
    def rate(self) -> float:
        return self.server.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self.server.rate = rate

    def allows(self, now: float) -> bool:
        return not self.begin <= now < self.end and self.server.allows(now)

    def free_in(self, now: float) -> float:
        return self.end - now if self.begin <= now < self.end else self.server.free_in(now)


RetryAfter = Callable[[float, float], "float | None"]
"""Maps the seconds until a request would be served, and the time, to Retry-After in seconds."""


def silent(_free_in: float, _now: float) -> float | None:
    """Send no Retry-After."""
    return None


def whole_seconds(free_in: float, _now: float) -> float | None:
    """Round up to whole seconds, as most servers do."""
    return float(max(math.ceil(free_in), 1))


def http_date(free_in: float, now: float) -> float | None:
    """Send a date, rounded up to the second; the client subtracts the Date header."""
    return float(math.ceil(now + free_in) - math.floor(now))


def constant(seconds: float) -> RetryAfter:
    """Always ask for the same time."""
    return lambda _free_in, _now: seconds
