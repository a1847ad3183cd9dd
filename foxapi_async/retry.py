"""How often one request is tried. Pure: the clock and the dice are arguments."""

from __future__ import annotations

from typing import Final

from foxapi_async.backoff import backoff
from foxapi_async.options import Retry

__all__ = ["Tries"]

RATE_LIMIT_PATIENCE: Final = 900.0
"""Seconds after which a submission is given up that is still answered 429, whoever else gets on."""


class Tries:
    """Counts the tries of one request.

    A 429 says nothing about the request, only that the session is too fast. So it counts only while
    the session makes no progress_count: otherwise a request would be given up because others were served.

    Args:
        retry: How many tries, and the pauses between them.
        began: The moment of the first try.
        progress_count: A number that grows whenever the server lets something of the session through.
    """

    def __init__(self, retry: Retry, *, began: float, progress_count: int) -> None:
        self._retry = retry
        self._began = began
        self._headway = progress_count
        self._failed = 0

    def may_go_on(
        self, *, rate_limited: bool, now: float, progress_count: int, awaited: int
    ) -> bool:
        """Count a failed try and return whether there may be another.

        Args:
            rate_limited: Whether the server answered 429.
            now: The moment of the answer.
            progress_count: The number as it is now.
            awaited: Tasks in flight: each may yet make the room that the server wants.
        """
        self._failed += 1
        if rate_limited and (awaited or progress_count != self._headway):
            self._headway = progress_count
            self._failed = 1
        if rate_limited and now - self._began > RATE_LIMIT_PATIENCE:
            return False
        return self._failed < self._retry.attempts

    def pause(self, jitter: float) -> float:
        """Return the seconds to wait before the next try."""
        return backoff(
            self._failed, first=self._retry.first, longest=self._retry.longest, jitter=jitter
        )
