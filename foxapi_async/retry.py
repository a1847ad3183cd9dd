"""Attempts of a request and the pauses between them. Pure: time and jitter are arguments."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from foxapi_async.options import Retry

LONGEST_BELIEVED: Final = 3600.0
"""The longest Retry-After that is accepted, in seconds."""

_SECONDS: Final = r"(?a:\d+(?:\.\d*)?|\.\d+)"


class Retrier:
    """Counts the attempts of one request.

    A 429 says nothing about the request, only that the session is too fast. So it does not count
    once the server has accepted something of this session: a phase of refusals ends, however long it
    lasts. A server that has refused everything so far may never accept anything.
    """

    def __init__(self, retry: Retry, started: float) -> None:
        self._retry = retry
        self._started = started
        self._failed = 0

    def may_retry(self, *, rate_limited: bool, now: float, was_served: bool) -> bool:
        """Count a failed attempt and return whether another is allowed.

        ``was_served``: the server has accepted or finished something of this session.
        """
        self._failed += 1
        if rate_limited and was_served:
            self._failed = 1
        if rate_limited and now - self._started > self._retry.patience:
            return False
        return self._failed < self._retry.attempts

    def pause(self, jitter: float) -> float:
        """Return the seconds to wait before the next attempt."""
        return backoff(
            self._failed, first=self._retry.first, longest=self._retry.longest, jitter=jitter
        )


def backoff(attempt: int, *, first: float, longest: float, jitter: float) -> float:
    """Return the seconds to wait after ``attempt`` failed attempts, at most ``longest``.

    The ceiling doubles from ``first`` up to ``longest``; ``jitter``, from 0 to 1, places the wait
    between half the ceiling and the ceiling. This is "equal jitter" in the words of the AWS
    Architecture Blog, "Exponential Backoff And Jitter" (2015). "Full jitter", from zero on, suits
    clients that contend for a lock. An outage or a rate limit needs time to pass, so a wait close to
    zero would waste an attempt.
    """
    doublings = max(attempt - 1, 0)
    # Compared as logarithms: 2 ** attempt overflows a float after some thousand attempts.
    if doublings >= math.log2(longest) - math.log2(first):
        ceiling = longest
    else:
        ceiling = min(longest, math.ldexp(first, doublings))
    return ceiling - ceiling / 2 * (1.0 - jitter)


def parse_retry_after(value: str | None, *, now: datetime, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, 0.0 to 3600.0, else None.

    RFC 9110 section 10.2.3 allows whole seconds or an HTTP date (section 5.6.7: IMF-fixdate, and
    the obsolete RFC 850 and asctime forms); servers also send decimals. A date is relative to the
    ``Date`` header of the same answer, so that a wrong local clock does not matter; without one it is
    relative to ``now``, which is aware.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(_SECONDS, text):
        seconds = float(text)
    else:
        until = http_date(text)
        if until is None:
            return None
        seconds = max((until - (http_date(date) or now)).total_seconds(), 0.0)
    return seconds if seconds <= LONGEST_BELIEVED else None


def http_date(text: str | None) -> datetime | None:
    """Return the moment of an HTTP date in UTC, None if there is none."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # asctime names no zone, and "-0000" parses as naive too; HTTP dates are always in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
