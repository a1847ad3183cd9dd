"""What became of one request of a run."""

from __future__ import annotations

from typing import Literal

import attrs

from foxapi_async.errors import (
    APIConnectionError,
    APIStatusError,
    FoxAPIError,
    InvalidResponseError,
    SubmissionUnknownError,
    TaskCancelledError,
    TaskFailedError,
    TaskOutcomeError,
)
from foxapi_async.models import Task
from foxapi_async.requests import Request

__all__ = ["Outcome", "OutcomeStatus", "status_of"]

OutcomeStatus = Literal["completed", "failed", "unfinished", "rejected", "unknown", "not_submitted"]


@attrs.frozen
class Outcome:
    """What became of one request of ``session.map``.

    ``index`` is its position in the input, from 0; ``key`` its idempotency key, if it had one.

    ============= ==================================================================================
    status        means
    ============= ==================================================================================
    completed     ``task`` has its outputs
    failed        the task ended as failed or cancelled; it is not run again by itself
    unfinished    accepted and billed, but the wait ended first; ``task_id`` can be attached again
    rejected      the server refused it; nothing was billed
    unknown       it may have been billed and no id came back
    not_submitted nothing was sent
    ============= ==================================================================================
    """

    request: Request
    key: str | None
    index: int
    status: OutcomeStatus
    task: Task | None = None
    error: FoxAPIError | None = None

    @property
    def task_id(self) -> str | None:
        """The id of the task, None if there is none that is known."""
        if self.task is not None:
            return self.task.id
        return self.error.task_id if self.error is not None else None

    @classmethod
    def of_error(
        cls, request: Request, key: str | None, index: int, error: FoxAPIError, task: Task | None
    ) -> Outcome:
        """Return the outcome of a request whose submission or wait ended with an error."""
        if task is None and isinstance(error, TaskOutcomeError):
            task = error.task
        return cls(request, key, index, status_of(error), task, error)


def status_of(error: FoxAPIError) -> OutcomeStatus:
    """Return what an error of a submission or a wait means for its request."""
    if isinstance(error, TaskFailedError | TaskCancelledError):
        return "failed"
    if isinstance(error, SubmissionUnknownError):
        return "unknown"
    if error.task_id is not None:
        return "unfinished"
    if isinstance(error, APIStatusError):
        return "rejected"
    # Nothing that may have left is ever called not submitted, whoever raised it.
    doubtful = isinstance(error, InvalidResponseError) or (
        isinstance(error, APIConnectionError) and error.sent
    )
    return "unknown" if doubtful else "not_submitted"
