"""How often one request is attempted. Pure: the clock and the jitter are arguments."""

from __future__ import annotations

from typing import Final

from foxapi_async.backoff import backoff
from foxapi_async.options import Retry

__all__ = ["Retrier"]

RATE_LIMIT_TIMEOUT: Final = 900.0
"""Seconds after which a request that is still answered 429 is given up, whatever else succeeds."""


class Retrier:
    """Counts the attempts of one request.

    A 429 says nothing about the request, only that the session is too fast. So it counts only while
    the session makes no progress: otherwise a request would be given up because others were served.

    Args:
        retry: How many attempts, and the pauses between them.
        started: The moment of the first attempt.
        progress: A number that grows whenever the server accepts or finishes something.
    """

    def __init__(self, retry: Retry, started: float, progress: int) -> None:
        self._retry = retry
        self._started = started
        self._progress = progress
        self._failed = 0

    def may_retry(self, *, rate_limited: bool, now: float, progress: int, in_flight: int) -> bool:
        """Count a failed attempt and return whether another is allowed.

        Args:
            rate_limited: Whether the server answered 429.
            now: The moment of the answer.
            progress: The number as it is now.
            in_flight: Tasks in flight: the end of each may make the room that the server wants.
        """
        self._failed += 1
        if rate_limited and (in_flight or progress != self._progress):
            self._progress = progress
            self._failed = 1
        if rate_limited and now - self._started > RATE_LIMIT_TIMEOUT:
            return False
        return self._failed < self._retry.attempts

    def pause(self, jitter: float) -> float:
        """Return the seconds to wait before the next attempt."""
        return backoff(
            self._failed, first=self._retry.first, longest=self._retry.longest, jitter=jitter
        )
