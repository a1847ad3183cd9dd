"""Pauses before a retry: exponential backoff with jitter, and the Retry-After header.

Pure functions: time and jitter are arguments.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BELIEVED = 3600.0
"""The longest Retry-After that is accepted, in seconds."""

_SECONDS = r"(?a:\d+(?:\.\d*)?|\.\d+)"


def backoff(attempt: int, *, first: float, longest: float, jitter: float) -> float:
    """Return the seconds to wait before the next attempt, after ``attempt`` failed ones.

    The ceiling doubles from ``first`` up to ``longest``; the wait is between half the ceiling and
    the ceiling. This is "equal jitter" in the words of the AWS Architecture Blog, "Exponential
    Backoff And Jitter" (2015). Its "full jitter", anything from zero to the ceiling, does slightly
    less work when a crowd of clients contends for one lock. Here the cause is an outage or a limit
    that needs time to pass, so a wait close to zero wastes an attempt, and half of the ceiling is
    enough randomness to separate clients that failed at the same time.

    Args:
        attempt: Failed attempts so far; values below 1 count as 1.
        first: The first ceiling in seconds, above 0.
        longest: The greatest ceiling in seconds, above 0; finite.
        jitter: A random number in [0, 1].

    Returns:
        Seconds, above 0 and at most ``longest``, for every attempt however late.
    """
    doublings = max(attempt - 1, 0)
    # Compared as logarithms: 2 ** attempt overflows a float after some thousand attempts.
    if doublings >= math.log2(longest) - math.log2(first):
        ceiling = longest
    else:
        ceiling = min(longest, math.ldexp(first, doublings))
    return ceiling - ceiling / 2 * (1.0 - jitter)


def parse_retry_after(value: str | None, *, now: datetime, date: str | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or None if it is not usable.

    RFC 9110 section 10.2.3 allows whole seconds or an HTTP date (section 5.6.7: IMF-fixdate, and
    the obsolete RFC 850 and asctime forms); servers also send decimals. A date is read
    relative to the server's own ``date``, so that a wrong local clock does not matter. A date in the
    past gives 0.0.

    Args:
        value: The header as received.
        now: The current time as an aware datetime; used without a usable ``date``.
        date: The ``Date`` header of the same answer, if there was one.

    Returns:
        Seconds from 0.0 to 3600.0. None for nonsense, for negative or non-finite numbers and for
        more than an hour.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(_SECONDS, text):
        seconds = float(text)
    else:
        until = _http_date(text)
        if until is None:
            return None
        seconds = max((until - (_http_date(date) or now)).total_seconds(), 0.0)
    return seconds if seconds <= LONGEST_BELIEVED else None


def _http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # asctime names no zone, and "-0000" parses as naive too; HTTP dates are always in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
