"""Decides when a job must stop, because more submissions would fail or be paid for in vain. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from foxapi_async import DownloadError, FoxAPIError, OutputExpiredError, errors
from foxapi_async.outcome import OutcomeStatus

LONGEST_STREAK: Final = 25  # Consecutive failures that count as an outage

_FATAL: Final = (
    errors.AuthenticationError,
    errors.InsufficientQuotaError,
    errors.PermissionDeniedError,
    errors.BudgetExceededError,
    errors.ConfigurationError,
    errors.SessionClosedError,
)
"""Every further submission would end with the same error."""


@attrs.define(eq=False)
class FailureStreak:
    """Counts consecutive failures: submissions without a result, and billed tasks without files."""

    _submissions: int = 0
    _tasks: int = 0

    def add_outcome(self, status: OutcomeStatus, error: FoxAPIError | None) -> FoxAPIError | None:
        """Count the outcome of a request; return why to stop submitting, None to continue."""
        if isinstance(error, _FATAL):
            return error
        if status == "unfinished" and error is not None:
            return self._add_lost_task(error)
        # A ValueError is an InvalidRequestError: it concerns this request alone.
        is_outage = status in {"unknown", "not_submitted"} and not isinstance(error, ValueError)
        if error is None or not is_outage:
            self._submissions = 0
            return None
        self._submissions += 1
        problem = "may have been billed without an answer" if status == "unknown" else "failed"
        return _outage(self._submissions, f"submissions that {problem}", error)

    def add_saving(self, error: FoxAPIError | None) -> FoxAPIError | None:
        """Count whether the files of a task were saved; return why to stop submitting, or None."""
        if error is None:
            self._tasks = 0
            return None
        is_disk = isinstance(error, DownloadError) and isinstance(error.__cause__, OSError)
        if is_disk and not isinstance(error, OutputExpiredError):
            return error
        return self._add_lost_task(error)

    def _add_lost_task(self, error: FoxAPIError) -> FoxAPIError | None:
        self._tasks += 1
        return _outage(self._tasks, "billed tasks that could not be retrieved", error)


def _outage(streak: int, what: str, last: FoxAPIError) -> FoxAPIError | None:
    if streak < LONGEST_STREAK:
        return None
    outage = FoxAPIError(f"stopped after {streak} consecutive {what}; the last error: {last}")
    outage.__cause__ = last
    return outage
