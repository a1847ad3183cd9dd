"""Decides when a map operation must stop, because further submissions would fail as well. Pure."""

from __future__ import annotations

from typing import Final

from attrs import define

from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    FoxAPIError,
    InsufficientQuotaError,
    PermissionDeniedError,
)

LONGEST_STREAK: Final = 25
"""Consecutive failures after which nothing more is submitted."""

_SERVER_ERROR: Final = 500

_REFUSALS: Final = (AuthenticationError, InsufficientQuotaError, PermissionDeniedError)


@define(eq=False)
class RefusalStreak:
    """Counts consecutive refusals of the key or by an edge, and submissions that found no connection."""

    _length: int = 0

    def reset(self) -> None:
        """Record that a submission was accepted."""
        self._length = 0

    def add(self, error: FoxAPIError) -> FoxAPIError | None:
        """Record why a submission created no task; return why to stop, None to go on."""
        no_connection = isinstance(error, APIConnectionError) and not error.sent
        is_refusal = isinstance(error, APIStatusError) and (
            isinstance(error, _REFUSALS) or (error.status < _SERVER_ERROR and not error.enveloped)
        )
        if not (no_connection or is_refusal):
            self._length = 0
            return None
        self._length += 1
        if self._length < LONGEST_STREAK:
            return None
        what = "refusals" if is_refusal else "submissions without a connection"
        return stopped_after(self._length, what, error)


def stopped_after(streak: int, what: str, last: FoxAPIError) -> FoxAPIError:
    """Return the error that says why nothing more is submitted."""
    stopped = FoxAPIError(f"stopped after {streak} consecutive {what}; the last error: {last}")
    stopped.__cause__ = last
    return stopped
