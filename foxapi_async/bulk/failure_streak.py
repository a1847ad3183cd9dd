"""Decides when a job must stop, because more submissions would fail or be paid for in vain. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from foxapi_async import DownloadError, FoxAPIError, OutputExpiredError, errors
from foxapi_async.bulk.input.input_uploads import InputUploadError
from foxapi_async.outcome import OutcomeStatus
from foxapi_async.refusal_streak import LONGEST_STREAK, stopped_after

_FATAL: Final = (
    errors.BudgetExceededError,
    errors.ConfigurationError,
    errors.SessionClosedError,
)
"""Every further submission would end with the same error."""


@attrs.define(eq=False)
class FailureStreak:
    """Counts consecutive billed tasks without files, and uploads of local files that failed.

    `Session.map` counts submissions itself.
    """

    _tasks: int = 0
    _uploads: int = 0

    def add_outcome(self, status: OutcomeStatus, error: FoxAPIError | None) -> FoxAPIError | None:
        """Count the outcome of a request; return why to stop submitting, None to continue."""
        if isinstance(error, _FATAL):
            return error
        if isinstance(error, InputUploadError):
            if error.ends_run:
                cause = error.__cause__
                return cause if isinstance(cause, errors.AuthenticationError) else error
            self._uploads += 1
            if self._uploads < LONGEST_STREAK:
                return None
            return stopped_after(self._uploads, "uploads that failed", error)
        if status == "completed":
            self._uploads = 0
        if status == "unfinished" and error is not None:
            return self._add_lost_task(error)
        return None

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
        if self._tasks < LONGEST_STREAK:
            return None
        return stopped_after(self._tasks, "billed tasks that could not be retrieved", error)
