"""The state of one submission, from the call that asks for it to its end."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import attrs

from foxapi_async._validators import check_count
from foxapi_async.errors import (
    APIConnectionError,
    ConfigurationError,
    FoxAPIError,
    InvalidRequestError,
    SessionClosedError,
    SubmissionUnknownError,
)
from foxapi_async.http.codec import encode
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.requests import STAND_IN, PreparedRequest, Request

if TYPE_CHECKING:
    from foxapi_async.journal import JournalClaim
    from foxapi_async.views import View


class SubmissionOwner(Protocol):
    """What follows a submission and may stop it: the map operation that it belongs to."""

    def stop_reason(self) -> FoxAPIError | None:
        """Return the error with which to send nothing more, None to go on."""

    def note_fatal(self, error: FoxAPIError) -> None:
        """Send nothing more, because each further submission would end with this error."""

    def submission_finished(self, submission: Submission) -> None:
        """Take note of the end of a submission."""


@attrs.define(eq=False, repr=False)
class Submission:
    """One submission.

    ``sending`` is true from the first byte of a POST to its answer; meanwhile the POST must not be
    cut off. ``last_refusal`` is why the last POST created nothing, if another follows. ``index`` is
    the position in the input of a map operation, ``group`` names the tasks that take about as long,
    ``posted`` is when the first byte of the last POST left, in seconds since 1970. ``held_since`` is
    when it was first held back in an outage, on the loop's clock. ``view`` is that of the session through
    which it was asked for, if it has options of its own.

    A request may be of the caller's own class. All that is needed of it is read before anything is
    sent: code of the caller that fails between the answer to a POST and its record would cost the id.
    """

    request: Request
    key: str | None
    index: int = 0
    owner: SubmissionOwner | None = None
    view: View | None = None
    sending: bool = False
    cancelled: bool = False
    stopped: bool = False
    finished: bool = False
    group: Hashable = None
    posted: float = 0.0
    claim: JournalClaim | None = None
    last_refusal: FoxAPIError | None = None
    held_since: float | None = None
    tracked: TrackedTask | None = None
    error: FoxAPIError | None = None
    scope: anyio.CancelScope | None = None
    _done: anyio.Event | None = None
    outputs: int = attrs.field(init=False)
    model: str = attrs.field(init=False)
    kind: str = attrs.field(init=False)
    path: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        request = self.request
        with errors_before_sending():
            self.outputs = request.num_outputs
            self.outputs = check_count("num_outputs of the request", self.outputs)
            self.model = _checked_text("model", request.model)
            self.kind = _checked_text("kind", request.kind)
            self.path = _checked_text("path", request.path)

    async def prepare(self) -> tuple[dict[str, Any], bytes]:
        """Return the payload to send and its JSON."""
        request = self.request
        if isinstance(request, PreparedRequest):
            payload = await request.prepare()
        else:
            payload = request.payload()
        body = encode(payload)
        if STAND_IN.encode() in body:
            raise InvalidRequestError(
                f"the request names a local file ({STAND_IN}…) that was not uploaded; nothing was sent. "
                "Run the job that it belongs to, or put links in its place",
                field="request",
                value=request,
            )
        return payload, body

    @property
    def about(self) -> dict[str, str | None]:
        """The attributes of a log record about the submission."""
        return {"key": self.key}

    def cancel(self) -> None:
        """Stop as soon as that is safe: now, or after the POST under way."""
        self.cancelled = True
        if not self.sending and self.scope is not None:
            self.scope.cancel()

    def check_stop(self) -> None:
        """Raise the error with which the owner stops the submission, if it does."""
        if self.owner is not None and (reason := self.owner.stop_reason()) is not None:
            self.stopped = True
            raise reason

    def finish(self) -> None:
        """Wake the waiters and tell the owner."""
        if self.finished:
            return
        self.finished = True
        if self._done is not None:
            self._done.set()
        if self.owner is not None:
            self.owner.submission_finished(self)

    async def wait(self) -> None:
        """Wait for the end."""
        if not self.finished:
            # Created here because nothing waits for most submissions of a map operation.
            self._done = self._done or anyio.Event()
            await self._done.wait()

    def result(self) -> TrackedTask:
        """Return the task, or raise what ended the submission."""
        if self.error is not None or self.tracked is None:
            raise self.failure()
        return self.tracked

    def failure(self) -> FoxAPIError:
        """Return why there is no task. A POST that was cut off is unknown."""
        if self.error is None and self.sending:
            self.error = self.unknown(APIConnectionError("the POST was cut off with the session"))
        elif self.error is None:
            self.error = SessionClosedError("the submission was cancelled before it was sent")
        return self.error

    def unknown(self, cause: BaseException, response: str | None = None) -> SubmissionUnknownError:
        """Return the error that says that a task may have been created."""
        error = SubmissionUnknownError(
            f"the submission to {self.model} ({self.outputs} outputs) may have created and billed a "
            f"task whose id is not known: {cause}. It is not sent again automatically; submit it "
            "again only if you accept that it may be billed twice",
            request=self.request,
            key=self.key,
            response=response,
        )
        error.__cause__ = cause
        return error


def error_before_sending(fault: Exception) -> ConfigurationError:
    """Return the error for an unexpected fault before anything was sent."""
    error = ConfigurationError(f"the submission failed before it was sent: {fault!r}")
    error.__cause__ = fault
    return error


@contextmanager
def errors_before_sending() -> Generator[None, None, None]:
    """Turn what the block raises, while nothing was sent yet, into an error of ours."""
    try:
        yield
    except FoxAPIError:
        raise
    except Exception as fault:
        raise error_before_sending(fault) from fault


def _checked_text(name: str, value: object) -> str:
    # A request of the caller's own class may hold anything. What is no string would fail later,
    # perhaps when the POST has left.
    if not isinstance(value, str):
        raise InvalidRequestError(
            f"{name} of the request is {value!r}; it must be a string", field=name, value=value
        )
    return str(value)
