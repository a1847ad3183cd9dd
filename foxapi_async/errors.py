"""The error tree of the package.

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

Errors have attributes for programs besides their text, and they pickle together with their causes.
``task_id`` is set on every error that is raised once the id of a task is known; with it,
``session.attach(error.task_id)`` continues to wait for the task.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    # From the facade: they are above this module, and only type checkers need the names.
    from foxapi_async import Request, Task


class FoxAPIError(Exception):
    """The base class of all errors of this package.

    ``task_id`` is the id of the task that the error is about, None if it is not known.
    """

    task_id: str | None = None

    def __init__(self, message: str, *, task_id: str | None = None) -> None:
        super().__init__(message)
        if task_id is not None:
            self.task_id = task_id

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        # The whole chain at once: if each error pickled its own cause, after trying whether that is
        # possible, the work would double with every link.
        links: dict[int, tuple[Any, ...]] = {}
        cause: BaseException | None = self
        while isinstance(cause, FoxAPIError) and id(cause) not in links:
            links[id(cause)] = _portable_link(cause)
            cause = cause.__cause__
        end = None if isinstance(cause, FoxAPIError) else _portable_cause(cause)
        return _rebuild_chain, (list(links.values()), end)

    def again(self) -> Self:
        """Return an equal error without a traceback, to be raised for another waiter."""
        return _rebuild(type(self), self.args, self.__dict__, self.__cause__)

    __copy__ = again  # pickling, which copy would use, may replace a value by its text

    def to_dict(self) -> dict[str, Any]:
        """Return class, text, attributes and cause in JSON types, as docs/json.md lists them."""
        from foxapi_async._to_json import to_json  # noqa: PLC0415 - nothing is below this module

        fields: dict[str, Any] = to_json(self)
        return fields


_Error = TypeVar("_Error", bound=FoxAPIError)


def _rebuild(
    cls: type[_Error], args: tuple[Any, ...], state: dict[str, Any], cause: BaseException | None
) -> _Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    if cause is not None:  # setting it, even to None, would hide the __context__
        error.__cause__ = cause
    return error


def _rebuild_chain(links: list[Any], cause: BaseException | None) -> BaseException | None:
    for cls, args, state in reversed(links):
        cause = _rebuild(cls, args, state, cause)
    return cause


def _portable_link(error: FoxAPIError) -> tuple[Any, ...]:
    if not _survives_pickling((type(error), error.args)):
        return FoxAPIError, (_described(error),), {}
    state = error.__dict__.items()
    portable = {
        name: value if _survives_pickling(value) else _in_words(value, repr)
        for name, value in state
    }
    return type(error), error.args, portable


def _portable_cause(cause: BaseException | None) -> BaseException | None:
    # Not every foreign exception pickles. Its text is worth more than its class.
    if cause is None or _survives_pickling(cause):
        return cause
    return FoxAPIError(_described(cause))


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {_in_words(error, str)}"


def _in_words(value: object, words: Callable[[object], str]) -> str:
    try:
        return words(value)
    except Exception:  # noqa: BLE001 - JSON nested too deeply, or a foreign __repr__ that raises
        return object.__repr__(value)


def _survives_pickling(value: object) -> bool:
    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301 - bytes that were just made here
    except Exception:  # noqa: BLE001 - a foreign __reduce__ may raise anything
        return False
    return True


class InvalidRequestError(FoxAPIError, ValueError):
    """The request is invalid; nothing was sent.

    ``field`` is the invalid field (None if it is not a single one), ``value`` the given value.
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
    """A job file is invalid; nothing was sent.

    ``problems`` are the first ones, each with its line and field; ``more`` is the number of others.
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
    """The session is configured or used wrongly; nothing was sent."""


class SessionClosedError(FoxAPIError):
    """The session was closed; tasks in flight continue at the server and can be attached again."""


class BudgetExceededError(FoxAPIError):
    """The request would bill more than ``Limits.total_outputs`` or ``run_job(max_credits=…)``; nothing was sent.

    ``total`` is the limit, ``used`` what the session has or may have billed, ``requested`` what the
    request asks for (0 if it is not known): images, or credits for ``max_credits``.
    """

    def __init__(self, message: str, *, total: int, used: int, requested: int) -> None:
        super().__init__(message)
        self.total = total
        self.used = used
        self.requested = requested


class APIStatusError(FoxAPIError):
    """The server answered with an error status.

    ``status`` is the HTTP status. ``type``, ``code`` and ``message`` are fields of the answer, None
    where it has none. ``request_id`` identifies the request to the vendor's support;
    ``retry_after`` is the server's Retry-After in seconds. ``ends_run`` is whether it concerns the key or
    the account, so that nothing more is submitted; ``enveloped`` is whether the answer is in the error
    format of the API: otherwise a proxy or firewall may have answered.
    """

    ends_run: bool = False
    enveloped: bool = True

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
        """Return the error class of an HTTP status."""
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        return ServerError if 500 <= status <= 599 else APIStatusError  # noqa: PLR2004


class BadRequestError(APIStatusError):
    """400: the request is malformed."""


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong or expired."""


class InsufficientQuotaError(APIStatusError):
    """402, or a 429 that says so: the balance or quota is used up."""


class PermissionDeniedError(APIStatusError):
    """403: the key lacks the permission, or the CDN rejected the client."""


class NotFoundError(APIStatusError):
    """404: there is no such task or path."""


class PayloadTooLargeError(APIStatusError):
    """413: the request body is too large."""


class UnprocessableEntityError(APIStatusError):
    """422: a field is invalid, or the model or a channel for it is not available."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class ServerError(APIStatusError):
    """5xx: the server or its CDN failed."""


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

    ``sent`` is False if the request certainly did not reach the server. ``errno`` is the number of
    the operating system's error, if it was one. ``response`` is what came of the answer to a POST
    before, at most 16 KiB, None if nothing came.
    """

    errno: int | None = None
    response: str | None = None

    def __init__(self, message: str, *, sent: bool = True, task_id: str | None = None) -> None:
        super().__init__(message, task_id=task_id)
        self.sent = sent


class APITimeoutError(APIConnectionError):
    """The server took longer than ``Timeout`` allows."""


class InvalidResponseError(FoxAPIError):
    """The answer does not have the form that the API documents.

    ``status`` is its HTTP status, ``excerpt`` the beginning of its body in one line, ``response`` the
    first 16 KiB of its body if it answers a POST.
    """

    response: str | None = None

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

    ``request`` is the request that was sent, ``key`` its idempotency key (None without one),
    ``response`` what the server said (at most 16 KiB, without the API key; None if it said nothing),
    ``__cause__`` the error. The package never repeats such a request: that could bill it twice.
    """

    def __init__(
        self,
        message: str,
        *,
        request: Request | None,
        key: str | None = None,
        response: str | None = None,
    ) -> None:
        super().__init__(message)
        self.request = request
        self.key = key
        self.response = response


class TaskOutcomeError(FoxAPIError):
    """A task failed, was cancelled, or did not complete during the wait."""

    def __init__(self, message: str, *, task_id: str, task: Task | None = None) -> None:
        super().__init__(message, task_id=task_id)
        self.task = task


class TaskFailedError(TaskOutcomeError):
    """The task failed; ``task.error`` is the reason. Submitting it again is billed again."""

    task: Task


class TaskCancelledError(TaskOutcomeError):
    """The task was cancelled at the server."""

    task: Task


class TaskTimeoutError(TaskOutcomeError):
    """The wait ended before the task did; ``task_id`` can be attached again.

    ``task`` is its last known state, or None; ``__cause__`` the error of the last poll, if it failed.
    ``no_poll_succeeded`` tells whether all have failed: ``task`` is then the answer to the POST.
    """

    def __init__(
        self,
        message: str,
        *,
        task_id: str,
        task: Task | None = None,
        no_poll_succeeded: bool = False,
    ) -> None:
        super().__init__(message, task_id=task_id, task=task)
        self.no_poll_succeeded = no_poll_succeeded


class DownloadError(FoxAPIError):
    """An output could not be downloaded; the task remains available and is not billed again.

    ``paths`` are the files of the same call that were downloaded nevertheless.
    """

    def __init__(
        self, message: str, *, task_id: str | None = None, paths: tuple[Path, ...] = ()
    ) -> None:
        super().__init__(message, task_id=task_id)
        self.paths = paths


class OutputExpiredError(DownloadError):
    """The URL of an output has expired, and the server gave no new one."""
