"""When a job must stop: further submissions could only fail, or cost money for nothing. Pure."""

from __future__ import annotations

from typing import Final

from foxapi_async.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    InsufficientQuotaError,
    OutputExpiredError,
    PermissionDeniedError,
    SessionClosedError,
)
from foxapi_async.outcome import OutcomeStatus

__all__ = ["IN_A_ROW", "Brake"]

IN_A_ROW: Final = 25
"""Submissions that may come to nothing, or tasks that may be paid for and not come home, one after
the other, before that is taken for an outage."""

_AT_ONCE: Final = (
    AuthenticationError,
    InsufficientQuotaError,
    PermissionDeniedError,
    BudgetExceededError,
    ConfigurationError,
    SessionClosedError,
)
"""What would end every further submission in the same way."""


class Brake:
    """Watches how requests end and says when to stop."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._not_home = 0

    def after(self, status: OutcomeStatus, error: FoxAPIError | None) -> FoxAPIError | None:
        """Take in how a request ended; return why to submit no more, None to go on.

        Args:
            status: What became of the submission or the wait.
            error: What ended it.
        """
        if isinstance(error, _AT_ONCE):
            return error
        if status == "unfinished" and error is not None:
            return self._after_a_loss(error)
        if error is None or status not in {"unknown", "not_submitted"} or _is_its_own_fault(error):
            self._in_a_row = 0
            return None
        self._in_a_row += 1
        if self._in_a_row < IN_A_ROW:
            return None
        end = "may have been billed without an answer" if status == "unknown" else "failed"
        return _outage(f"{self._in_a_row} submissions in a row that {end}", error)

    def after_saving(self, error: FoxAPIError | None) -> FoxAPIError | None:
        """Take in how the files of a task were saved; return why to submit no more, None to go on.

        Args:
            error: What kept a file from being saved; None if all are there.
        """
        if error is None:
            self._not_home = 0
            return None
        is_disk = isinstance(error, DownloadError) and isinstance(error.__cause__, OSError)
        if is_disk and not isinstance(error, OutputExpiredError):
            return error
        return self._after_a_loss(error)

    def _after_a_loss(self, error: FoxAPIError) -> FoxAPIError | None:
        self._not_home += 1
        if self._not_home < IN_A_ROW:
            return None
        return _outage(
            f"{self._not_home} tasks in a row that were paid for and did not come home", error
        )


def _outage(what: str, last: FoxAPIError) -> FoxAPIError:
    outage = FoxAPIError(f"stopped after {what}, the last one so: {last}")
    outage.__cause__ = last
    return outage


def _is_its_own_fault(error: FoxAPIError) -> bool:
    # An InvalidRequestError: too heavy for the limits, or its key stands for another request.
    return isinstance(error, ValueError)
