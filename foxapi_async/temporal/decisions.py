"""What an error means for an activity: a result that is listed, or another attempt. No I/O."""

from __future__ import annotations

from typing import Final

from foxapi_async import errors
from foxapi_async.bulk.results.results_file import error_code_of
from foxapi_async.outcome import status_of
from foxapi_async.temporal.messages import LONGEST_TEXT, GenerationResult

_ENDS: Final[tuple[type[errors.FoxAPIError], ...]] = (
    errors.SubmissionUnknownError,
    errors.TaskOutcomeError,
    errors.InvalidRequestError,
    errors.BudgetExceededError,
    errors.InvalidResponseError,
    errors.OutputExpiredError,
)

_SAVE_ATTEMPTS: Final = 5
"""Of files that the server does not give; the session has repeated each request before."""


def is_retried(error: errors.FoxAPIError, attempt: int) -> bool:
    """Return whether another attempt may end otherwise: after an outage of the API, the disk or the journal.

    The key makes that safe: an attempt after the POST attaches to its task. ``attempt`` counts from 1.
    """
    if isinstance(error, errors.APIStatusError):
        return isinstance(error, errors.RateLimitError)
    if isinstance(error, _ENDS):
        return False
    if isinstance(error, errors.DownloadError) and not isinstance(error.__cause__, OSError):
        return attempt < _SAVE_ATTEMPTS
    return True


def result_of_error(key: str, error: errors.FoxAPIError) -> GenerationResult:
    """Return the result of a generation that an error ended."""
    return GenerationResult(
        key=key,
        status="unsaved" if isinstance(error, errors.DownloadError) else status_of(error),
        task_id=error.task_id,
        error=str(error)[:LONGEST_TEXT],
        error_code=error_code_of(error),
        error_type=type(error).__name__,
        ends_run=getattr(error, "ends_run", False) or isinstance(error, errors.BudgetExceededError),
    )
