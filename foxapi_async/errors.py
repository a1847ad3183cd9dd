"""Every error of the package, in one tree.

FoxAPIError
├── InvalidRequestError
│   └── JobFileError
├── ConfigurationError
├── SessionClosedError
├── BudgetExceededError
├── APIStatusError
│   ├── BadRequestError
│   ├── AuthenticationError
│   ├── InsufficientQuotaError
│   ├── PermissionDeniedError
│   ├── NotFoundError
│   ├── PayloadTooLargeError
│   ├── UnprocessableEntityError
│   ├── RateLimitError
│   └── ServerError
├── APIConnectionError
│   └── APITimeoutError
├── InvalidResponseError
├── SubmissionUnknownError
├── TaskOutcomeError
│   ├── TaskFailedError
│   ├── TaskCancelledError
│   └── TaskTimeoutError
└── DownloadError
    └── OutputExpiredError

Errors carry facts for the program beside words for people, and each of them pickles with its cause.
``task_id`` is set on whatever is raised once the id of a task is known: the task can be picked up
again with ``session.attach(error.task_id)``.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxapi_async.models import Task
    from foxapi_async.requests import Request

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ConfigurationError",
    "DownloadError",
    "FoxAPIError",
    "InsufficientQuotaError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JobFileError",
    "NotFoundError",
    "OutputExpiredError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServerError",
    "SessionClosedError",
    "SubmissionUnknownError",
    "TaskCancelledError",
    "TaskFailedError",
    "TaskOutcomeError",
    "TaskTimeoutError",
    "UnprocessableEntityError",
]


class FoxAPIError(Exception):
    """Whatever this package raises; ``task_id`` is set once the id of a task is known."""

    task_id: str | None = None

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        super().__init__(message)
        if task_id is not None:
            self.task_id = task_id

    def __reduce__(self) -> tuple[Callable[..., FoxAPIError], tuple[Any, ...]]:
        state = {name: _portable(value) for name, value in self.__dict__.items()}
        return _rebuild, (type(self), self.args, state, _portable_cause(self.__cause__))

    def __copy__(self) -> Self:
        # Not by way of pickling, which may have to write a value down as text.
        return self.again()

    def again(self) -> Self:
        """Return an equal error without a traceback, for a second one who waits."""
        return _rebuild(type(self), self.args, self.__dict__, self.__cause__)


_Error = TypeVar("_Error", bound=FoxAPIError)


def _rebuild(
    cls: type[_Error], args: tuple[Any, ...], state: dict[str, Any], cause: BaseException | None
) -> _Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    if cause is not None:  # to set it, even to None, would hide what the error is raised in
        error.__cause__ = cause
    return error


def _portable(value: object) -> object:
    return value if _survives_pickling(value) else _in_words(value, repr)


def _portable_cause(cause: BaseException | None) -> BaseException | None:
    # Not every foreign exception pickles; what it said is worth more than its class.
    if cause is None or _survives_pickling(cause):
        return cause
    return FoxAPIError(f"{type(cause).__name__}: {_in_words(cause, str)}")


def _in_words(value: object, words: Callable[[object], str]) -> str:
    try:
        return words(value)
    except Exception:  # noqa: BLE001 - JSON nested too deeply, or a foreign __repr__ that raises
        return object.__repr__(value)


def _survives_pickling(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301 - bytes of our own making
    except Exception:  # noqa: BLE001 - a foreign __reduce__ may raise whatever it likes
        return False
    return True


class InvalidRequestError(FoxAPIError, ValueError):
    """The request cannot be right; nothing was sent.

    ``field`` names what is wrong (None if no single field is), ``value`` is what was given.
    """

    def __init__(self, message: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class Problem(NamedTuple):
    """A problem of a job file; ``line`` counts from 1, ``field`` is None for the line as a whole."""

    line: int
    field: str | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.field}" if self.field is not None else "")
        return f"{where}: {self.message}"


class JobFileError(InvalidRequestError):
    """A job file cannot be right; nothing was sent.

    ``problems`` are what is wrong, each with its line and field; ``more`` is how many there are
    beside these.
    """

    def __init__(
        self,
        message: str,
        *,
        problems: tuple[Problem, ...] = (),
        more: int = 0,
        field: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message, field=field, value=value)
        self.problems = problems
        self.more = more


class ConfigurationError(FoxAPIError):
    """The session is set up or used in a way that cannot work; nothing was sent."""


class SessionClosedError(FoxAPIError):
    """The session ended first; what is in flight goes on at the server and can be attached again."""


class BudgetExceededError(FoxAPIError):
    """The request would bill more than ``Limits.total_outputs``; nothing was sent.

    ``total`` is the limit, ``used`` what the session has billed or may have billed, ``requested``
    what was asked for, all in images.
    """

    def __init__(self, message: str, *, total: int, used: int, requested: int) -> None:
        super().__init__(message)
        self.total = total
        self.used = used
        self.requested = requested


class APIStatusError(FoxAPIError):
    """The server answered with an error status.

    ``status`` is the HTTP status. ``type``, ``code`` and ``message`` are the server's own words and
    None where it had none. ``request_id`` is what the vendor's support asks for, ``retry_after``
    the seconds that the server asked to wait.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        type: str | None = None,  # noqa: A002 - the field's name on the wire
        code: str | None = None,
        message: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(text, task_id=task_id)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after

    @staticmethod
    def class_for(status: int) -> type[APIStatusError]:
        """Return the class that stands for an HTTP status."""
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        return ServerError if 500 <= status <= 599 else APIStatusError  # noqa: PLR2004


class BadRequestError(APIStatusError):
    """400: the request is malformed."""


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong or expired."""


class InsufficientQuotaError(APIStatusError):
    """402: the balance is too low."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this, or the edge refused the client."""


class NotFoundError(APIStatusError):
    """404: there is no such task or path."""


class PayloadTooLargeError(APIStatusError):
    """413: the body is larger than the server takes."""


class UnprocessableEntityError(APIStatusError):
    """422: a field, a model or a channel is not to be had."""


class RateLimitError(APIStatusError):
    """429: too much at once."""


class ServerError(APIStatusError):
    """5xx: the server or its edge failed."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientQuotaError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


class APIConnectionError(FoxAPIError):
    """The server could not be reached, or the connection broke.

    ``sent`` tells whether the request may have reached the server.
    """

    def __init__(self, message: str, *, sent: bool = True, task_id: str | None = None) -> None:
        super().__init__(message, task_id=task_id)
        self.sent = sent


class APITimeoutError(APIConnectionError):
    """The server took longer than ``Timeout`` allows."""


class InvalidResponseError(FoxAPIError):
    """The answer is not what the API promises.

    ``status`` is its HTTP status, ``excerpt`` its first characters.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        excerpt: str | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.status = status
        self.excerpt = excerpt


class SubmissionUnknownError(FoxAPIError):
    """A task may have been created and billed, but its id is not known.

    ``request`` is what was sent, ``key`` its idempotency key (None without one), ``__cause__`` what
    happened. It is never sent again by itself: that could bill it twice.
    """

    def __init__(self, message: str, *, request: Request | None, key: str | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.key = key


class TaskOutcomeError(FoxAPIError):
    """A task did not end as completed, or not while it was waited for."""

    def __init__(self, message: str, *, task_id: str, task: Task | None = None) -> None:
        super().__init__(message, task_id=task_id)
        self.task = task


class TaskFailedError(TaskOutcomeError):
    """The task failed; ``task.error`` says why. A new submission is a new charge."""

    task: Task


class TaskCancelledError(TaskOutcomeError):
    """The task was cancelled at the server."""

    task: Task


class TaskTimeoutError(TaskOutcomeError):
    """The wait ended before the task did; ``task_id`` can be attached again.

    ``task`` is what was last seen of it, or None; ``__cause__`` why the last look failed, if it did.
    """


class DownloadError(FoxAPIError):
    """An output could not be fetched whole; the task is still there and paid for.

    ``paths`` are the other outputs of the same call, which are on disk all the same.
    """

    def __init__(
        self, message: str, *, task_id: str | None = None, paths: tuple[Path, ...] = ()
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.paths = paths


class OutputExpiredError(DownloadError):
    """The link of an output has expired and the server gave no other."""
