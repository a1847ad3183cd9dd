"""Exit codes of the command line: one table for the help text, the program and the tests."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from foxapi_async import FoxAPIError, errors
from foxapi_async.outcome import OutcomeStatus


class ExitCode(enum.IntEnum):
    """The exit codes of the command line."""

    OK = 0
    TASK_FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    QUOTA = 4
    UNAVAILABLE = 5
    UNKNOWN = 6
    UNFINISHED = 7
    DOWNLOAD = 8
    NOT_PRINTED = 9
    TIME_UP = 10
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.TERMINATED: "interrupted by SIGTERM",
    ExitCode.HUNG_UP: "interrupted by SIGHUP: the terminal was closed",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.UNKNOWN: "a submission may have been billed, and its task id is unknown",
    ExitCode.TIME_UP: "the time of --max-time was over before everything was done: the same "
    "`foxapi run` continues it",
    ExitCode.UNFINISHED: "the wait ended before the task did: `foxapi wait ID` (or the same "
    "`foxapi run`) continues it",
    ExitCode.DOWNLOAD: "a billed image could not be saved: `foxapi wait ID -o DIR` tries again",
    ExitCode.CONFIGURATION: "configuration or key: no key, a refused key (401, 403), a missing "
    "extra, an unusable directory or journal",
    ExitCode.QUOTA: "the balance is used up (402), or --max-images or --max-credits is reached",
    ExitCode.UNAVAILABLE: "the server cannot be reached, is too busy, or gave no usable answer",
    ExitCode.USAGE: "wrong usage, or an invalid or refused request; nothing was billed for it",
    ExitCode.NOT_PRINTED: "the work is done, but its results could not be printed (a full disk)",
    ExitCode.TASK_FAILED: "a task failed or was cancelled at the server",
    ExitCode.OK: "done",
}
"""The most severe code first: interrupts, then what may cost money, then what stops everything, then
failures of single tasks."""

_SEVERITY: Final = tuple(MEANINGS)

# Looked up along the method resolution order, so the nearest base class decides.
_BY_ERROR: Final[Mapping[type[FoxAPIError], ExitCode]] = {
    errors.InvalidRequestError: ExitCode.USAGE,
    errors.ConfigurationError: ExitCode.CONFIGURATION,
    errors.SessionClosedError: ExitCode.UNFINISHED,
    errors.BudgetExceededError: ExitCode.QUOTA,
    errors.BadRequestError: ExitCode.USAGE,
    errors.AuthenticationError: ExitCode.CONFIGURATION,
    errors.InsufficientQuotaError: ExitCode.QUOTA,
    errors.PermissionDeniedError: ExitCode.CONFIGURATION,
    errors.NotFoundError: ExitCode.USAGE,
    errors.PayloadTooLargeError: ExitCode.USAGE,
    errors.UnprocessableEntityError: ExitCode.USAGE,
    errors.SubmissionUnknownError: ExitCode.UNKNOWN,
    errors.TaskOutcomeError: ExitCode.TASK_FAILED,
    errors.TaskTimeoutError: ExitCode.UNFINISHED,
    errors.DownloadError: ExitCode.DOWNLOAD,
}


def exit_code_for(error: FoxAPIError) -> ExitCode:
    """Return the exit code of a command that an error ended."""
    codes = (_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR)
    return next(codes, ExitCode.UNAVAILABLE)


def exit_code_for_outcome(status: OutcomeStatus, error: FoxAPIError | None) -> ExitCode:
    """Return the exit code for the outcome of one request or task.

    An unfinished task is `ExitCode.UNFINISHED` whatever ended the wait. A refused key is the
    exception, because nothing can be continued without another key.
    """
    if status == "completed":
        return ExitCode.OK if error is None else exit_code_for(error)
    assert error is not None
    code = exit_code_for(error)
    if status == "unfinished" and code is not ExitCode.CONFIGURATION:
        return ExitCode.UNFINISHED
    return code


def most_severe(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code to exit with if several apply; OK if there are none."""
    return min(codes, key=_SEVERITY.index, default=ExitCode.OK)
