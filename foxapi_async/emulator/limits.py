"""Rate limits: a token bucket, and the formats of `Retry-After`."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import Literal, TypeAlias

from attrs import define, field

RetryAfter: TypeAlias = Literal["seconds", "date", "absurd", "absent"]
"""The format of `Retry-After` in a 429; "absurd" is a number that clients should ignore."""

ABSURD_SECONDS = "1e309"


@define
class TokenBucket:
    """At most `rate` requests per second, with up to `burst` at once after a pause.

    The clock is an argument: `now` is in seconds and must not run backwards.
    """

    rate: float
    burst: float = 1.0
    _tokens: float = field(init=False)
    _filled_at: float = field(init=False, default=-math.inf)

    def __attrs_post_init__(self) -> None:
        if not (self.rate > 0 and self.burst >= 1):
            msg = f"a rate above 0 and a burst of at least 1 are needed: {self.rate}, {self.burst}"
            raise ValueError(msg)
        self._tokens = self.burst

    def wait(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until one is available."""
        if now > self._filled_at:
            self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.rate)
            self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate


def bucket(rate: float | None) -> TokenBucket | None:
    """Return a bucket whose burst is the rate of one second; None for no limit."""
    return None if rate is None else TokenBucket(rate, max(1.0, rate))


def retry_after_headers(form: RetryAfter, wait: float, wall_clock: float) -> dict[str, str]:
    """Return the `Retry-After` header for `wait` seconds, rounded up to whole ones."""
    seconds = max(1, math.ceil(wait))
    if form == "seconds":
        return {"Retry-After": str(seconds)}
    if form == "date":
        # A date has no fractions, so add a second; it must not be before the true time.
        return {"Retry-After": formatdate(wall_clock + seconds + 1, usegmt=True)}
    if form == "absurd":
        return {"Retry-After": ABSURD_SECONDS}
    return {}
