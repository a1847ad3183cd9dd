"""With which code a command ends: one table for the help text, the program and the tests."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    FoxAPIError,
    InsufficientQuotaError,
    InvalidRequestError,
    InvalidResponseError,
    JobFileError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SessionClosedError,
    SubmissionUnknownError,
    TaskOutcomeError,
    TaskTimeoutError,
    UnprocessableEntityError,
)
from foxapi_async.outcome import OutcomeStatus

__all__ = ["MEANINGS", "Exit", "exit_for", "exit_for_outcome", "gravest"]


class Exit(enum.IntEnum):
    """The exit codes of the command line."""

    OK = 0
    TASK_FAILED = 1
    USAGE = 2
    KEY = 3
    QUOTA = 4
    OUT_OF_REACH = 5
    UNKNOWN = 6
    UNFINISHED = 7
    DOWNLOAD = 8
    UNPRINTED = 9
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.OK: "done",
    Exit.TASK_FAILED: "a task failed or was cancelled at the server",
    Exit.USAGE: "wrong usage, or a request that is invalid or was refused; nothing was billed for it",
    Exit.KEY: "configuration or key: no key, a refused key (401, 403), a missing extra, an unusable "
    "folder or journal",
    Exit.QUOTA: "the balance is used up (402), or --max-images is reached",
    Exit.OUT_OF_REACH: "the server is out of reach, too busy, or gave no usable answer",
    Exit.UNKNOWN: "a submission may have been billed, and its task id is not known",
    Exit.UNFINISHED: "the wait ended, the task goes on: `foxapi wait ID` (or the same `foxapi run`) continues",
    Exit.DOWNLOAD: "a picture is paid for and could not be saved: `foxapi wait ID -o DIR` tries again",
    Exit.UNPRINTED: "the work is done, and its results could not be printed (a full disk)",
    Exit.HUNG_UP: "interrupted by SIGHUP: the terminal was closed",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.TERMINATED: "interrupted by SIGTERM",
}

_GRAVITY: Final = (
    Exit.TERMINATED,
    Exit.HUNG_UP,
    Exit.INTERRUPTED,
    Exit.UNKNOWN,
    Exit.UNFINISHED,
    Exit.DOWNLOAD,
    Exit.KEY,
    Exit.QUOTA,
    Exit.OUT_OF_REACH,
    Exit.USAGE,
    Exit.UNPRINTED,
    Exit.TASK_FAILED,
    Exit.OK,
)
"""What counts if several apply: first what may cost money, then what stops all, then single faults."""

# Looked up along the method resolution order, so that the nearest class counts.
_BY_CLASS: Final[Mapping[type[FoxAPIError], Exit]] = {
    InvalidRequestError: Exit.USAGE,
    JobFileError: Exit.USAGE,
    ConfigurationError: Exit.KEY,
    SessionClosedError: Exit.UNFINISHED,
    BudgetExceededError: Exit.QUOTA,
    APIStatusError: Exit.OUT_OF_REACH,
    BadRequestError: Exit.USAGE,
    AuthenticationError: Exit.KEY,
    InsufficientQuotaError: Exit.QUOTA,
    PermissionDeniedError: Exit.KEY,
    NotFoundError: Exit.USAGE,
    PayloadTooLargeError: Exit.USAGE,
    UnprocessableEntityError: Exit.USAGE,
    RateLimitError: Exit.OUT_OF_REACH,
    ServerError: Exit.OUT_OF_REACH,
    APIConnectionError: Exit.OUT_OF_REACH,
    InvalidResponseError: Exit.OUT_OF_REACH,
    SubmissionUnknownError: Exit.UNKNOWN,
    TaskOutcomeError: Exit.TASK_FAILED,
    TaskTimeoutError: Exit.UNFINISHED,
    DownloadError: Exit.DOWNLOAD,
}


def exit_for(error: FoxAPIError) -> Exit:
    """Return the exit code of a command that ended with an error."""
    return next(
        (_BY_CLASS[cls] for cls in type(error).__mro__ if cls in _BY_CLASS),
        Exit.OUT_OF_REACH,
    )


def exit_for_outcome(status: OutcomeStatus, error: FoxAPIError | None) -> Exit:
    """Return the exit code for what became of one request or task.

    A task that is paid for and not brought home counts as that, whatever ended the wait, except
    that a refused key is named: nothing can be continued without another one.
    """
    if status == "completed":
        return Exit.OK if error is None else exit_for(error)
    assert error is not None
    code = exit_for(error)
    return code if status != "unfinished" or code is Exit.KEY else Exit.UNFINISHED


def gravest(codes: Iterable[Exit]) -> Exit:
    """Return the code to end with if several apply; OK if there are none."""
    return min(codes, key=_GRAVITY.index, default=Exit.OK)
