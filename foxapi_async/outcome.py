"""The outcome of one request of `Session.map`."""

from __future__ import annotations

from typing import Any, Literal

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
from foxapi_async.models import JsonValue, Task
from foxapi_async.requests import Request

OutcomeStatus = Literal["completed", "failed", "unfinished", "rejected", "unknown", "not_submitted"]


@attrs.frozen
class Outcome(JsonValue):
    """The outcome of one request of ``session.map``.

    ``index`` is the position in the input, from 0; ``key`` the idempotency key, if there is one;
    ``seconds`` the time from the submission to the poll that found the task ended, if one did.

    ============= ==================================================================================
    status        means
    ============= ==================================================================================
    completed     ``task`` has its outputs
    failed        the task failed or was cancelled; it is not submitted again automatically
    unfinished    accepted and billed, but the wait ended first; ``task_id`` can be attached again
    rejected      the server refused it; nothing was billed
    unknown       it may have been billed, and the task id is not known
    not_submitted nothing was sent
    ============= ==================================================================================
    """

    request: Request
    key: str | None
    index: int
    status: OutcomeStatus
    task: Task | None = None
    error: FoxAPIError | None = None
    seconds: float | None = attrs.field(default=None, eq=False)

    @property
    def task_id(self) -> str | None:
        """The id of the task, None if it is not known."""
        if self.task is not None:
            return self.task.id
        return self.error.task_id if self.error is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome in JSON types, with ``task_id``; see `Task.to_dict`."""
        return {"task_id": self.task_id, **super().to_dict()}

    def result(self) -> Task:
        """Return the task of a completed outcome.

        Raises:
            FoxAPIError: The outcome is not ``completed``: a copy of ``error``, new for each call.
        """
        if self.status == "completed" and self.task is not None:
            return self.task
        if self.error is not None:
            raise self.error.again()
        raise FoxAPIError(
            f"request {self.index} has no result: its outcome is {self.status}",
            task_id=self.task_id,
        )

    @classmethod
    def of_error(
        cls, request: Request, key: str | None, index: int, error: FoxAPIError, task: Task | None
    ) -> Outcome:
        """Return the outcome of a request whose submission or wait raised an error."""
        if task is None and isinstance(error, TaskOutcomeError):
            task = error.task
        return cls(request, key, index, status_of(error), task, error)


def status_of(error: FoxAPIError) -> OutcomeStatus:
    """Return the status of a request whose submission or wait raised this error."""
    if isinstance(error, TaskFailedError | TaskCancelledError):
        return "failed"
    if isinstance(error, SubmissionUnknownError):
        return "unknown"
    if error.task_id is not None:
        return "unfinished"
    if isinstance(error, APIStatusError):
        return "rejected"
    # A request that may have been sent is never reported as not submitted.
    doubtful = isinstance(error, InvalidResponseError) or (
        isinstance(error, APIConnectionError) and error.sent
    )
    return "unknown" if doubtful else "not_submitted"
