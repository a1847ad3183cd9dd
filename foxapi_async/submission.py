"""One submission, from the moment in which somebody asks for it until it is over."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import attrs

from foxapi_async.errors import (
    APIConnectionError,
    ConfigurationError,
    FoxAPIError,
    SessionClosedError,
    SubmissionUnknownError,
)
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.requests import Request

if TYPE_CHECKING:
    from foxapi_async.journal import Claim

__all__ = ["Submission", "before_sending", "wrong_before_sent"]


@attrs.define(eq=False, repr=False)
class Submission:
    """One submission under way.

    ``sending`` is true from the first byte of a POST to its answer: in that time it must not be cut
    off. ``stop`` is asked before each POST and returns the error with which not to send it.
    ``declined`` is why the last POST created nothing, if there is to be another. ``index`` is the
    position in the input of a run, ``group`` names the tasks that take about as long. What is asked
    of the request is asked when this is made: a request may be of the caller's own class, and code of
    the caller's must not come between the answer to a POST and its record.

    Raises:
        ConfigurationError: The request cannot tell what it asks for.
    """

    request: Request
    key: str | None
    index: int = 0
    stop: Callable[[], FoxAPIError | None] = lambda: None
    on_done: Callable[[Submission], None] = lambda _: None
    sending: bool = False
    abandoned: bool = False
    stopped: bool = False
    group: Hashable = None
    claim: Claim | None = None
    declined: FoxAPIError | None = None
    watch: TrackedTask | None = None
    error: FoxAPIError | None = None
    scope: anyio.CancelScope | None = None
    is_over: bool = False
    _over: anyio.Event | None = None
    outputs: int = attrs.field(init=False)
    model: str = attrs.field(init=False)
    kind: str = attrs.field(init=False)
    path: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        request = self.request
        with before_sending():
            self.outputs, self.model = request.num_outputs, request.model
            self.kind, self.path = request.kind, request.path

    def abandon(self) -> None:
        """Stop as soon as that is safe: at once, or after the POST under way."""
        self.abandoned = True
        if not self.sending and self.scope is not None:
            self.scope.cancel()

    def land(self) -> None:
        """Tell those who wait that the submission is over."""
        if self.is_over:
            return
        self.is_over = True
        if self._over is not None:
            self._over.set()
        self.on_done(self)

    async def over(self) -> None:
        """Wait until the submission is over."""
        if not self.is_over:
            # Made here, because most of a run's submissions are waited for by nobody.
            self._over = self._over or anyio.Event()
            await self._over.wait()

    def landed(self) -> TrackedTask:
        """Return the watch of the task, or raise what ended the submission."""
        if self.error is not None or self.watch is None:
            raise self.failure()
        return self.watch

    def failure(self) -> FoxAPIError:
        """Return why there is no task; what was being sent when nobody could tell any more is unknown."""
        if self.error is None and self.sending:
            self.error = self.unknown(APIConnectionError("the POST was cut off with the session"))
        elif self.error is None:
            self.error = SessionClosedError("given up before it was sent")
        return self.error

    def unknown(self, cause: BaseException) -> SubmissionUnknownError:
        """Return the error that says that a task may have been created."""
        error = SubmissionUnknownError(
            f"the submission to {self.model} ({self.outputs} outputs) may have created and "
            f"billed a task whose id is not known: {cause}. It is not sent again by itself; to do so is "
            "the caller's decision",
            request=self.request,
            key=self.key,
        )
        error.__cause__ = cause
        return error


@contextmanager
def before_sending() -> Generator[None, None, None]:
    """Raise what goes wrong within, where nothing was sent yet, as an error of ours."""
    try:
        yield
    except FoxAPIError:
        raise
    except Exception as fault:
        raise wrong_before_sent(fault) from fault


def wrong_before_sent(fault: Exception) -> ConfigurationError:
    """Return the error for a fault that nobody foresaw, if nothing was sent."""
    error = ConfigurationError(f"the submission went wrong before it was sent: {fault!r}")
    error.__cause__ = fault
    return error
