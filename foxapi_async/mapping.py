"""Many requests, lazily and within the limits, as one stream of outcomes."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel

from foxapi_async._concurrency import Signal
from foxapi_async._typeguards import is_tuple
from foxapi_async.errors import (
    AuthenticationError,
    ConfigurationError,
    FoxAPIError,
    InsufficientQuotaError,
    InvalidRequestError,
    PermissionDeniedError,
    SessionClosedError,
)
from foxapi_async.outcome import Outcome
from foxapi_async.polling.tracked_task import TrackedTask
from foxapi_async.requests import Request
from foxapi_async.submission import Submission
from foxapi_async.submitter import Submitter

__all__ = ["Item", "OutcomeIterator", "Run"]

Item = Request | tuple[str | None, Request]

_SLACK: Final = 64
_ITEMS_AT_ONCE: Final = 16

_KEYS_AT_ONCE: Final = 64
"""Keys that the journal is asked for at once: they share one commit, which takes about as long as
sixty POSTs."""

_FATAL: Final = (AuthenticationError, InsufficientQuotaError, PermissionDeniedError)


class OutcomeIterator(AsyncIterator[Outcome]):
    """The outcomes of ``session.map``, each as soon as it is known.

    Nothing is read from the input, and nothing sent, before the first outcome is asked for. When
    the iteration is left (or `aclose` is called) no more is submitted; what is in flight stays in
    ``session.in_flight``.
    """

    def __init__(self, run: Run, start: Callable[[Run], None]) -> None:
        self._run = run
        self._start = start
        self._started = False
        # A `break` in `async for` drops the iterator without a word.
        self._loop = asyncio.get_running_loop()
        weakref.finalize(self, _let_go, run, self._loop)

    def __aiter__(self) -> OutcomeIterator:
        return self

    async def __anext__(self) -> Outcome:
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "the outcomes are read in another event loop than the session's"
            )
        if not self._started:
            self._start(self._run)
            self._started = True
        return await self._run.next_outcome()

    def stop_submitting(self, why: FoxAPIError) -> None:
        """Submit no more, because of an error; what is in flight comes home and is yielded.

        What was read and not yet sent is "not_submitted"; a POST under way is finished.
        """
        self._run.stop_submitting(why)

    def stop_reading(self) -> None:
        """Leave the rest of the input; what was read is still submitted, as far as the limits allow."""
        self._run.end_reading()

    async def aclose(self) -> None:
        """Submit no more, and yield no more."""
        self._run.stop()


class Run:
    """One call of ``session.map``: reads, submits, and collects what becomes of it."""

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        submitter: Submitter,
        start: Callable[..., None],
        outputs: int,
        ordered: bool,
    ) -> None:
        self._items = items
        self._submitter = submitter
        self._start = start
        self._ordered = ordered
        # Read but not yet yielded: as many as can be in flight, and as many again that wait for the
        # reader, so that a slow reader halts the run rather than fill the memory.
        self._window = 2 * outputs + _SLACK
        self._open = 0
        self._next = 0
        self._outcomes: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}
        self._flights: set[Submission] = set()
        self._reading = True
        self._stopped = False
        self._read_items = 0
        # Of requests whose keys the journal is being asked for, or which wait for room after that.
        self._keys_ahead = 0
        self._outputs_ahead = 0
        self._fatal: FoxAPIError | None = None
        self._input_error: Exception | None = None
        self._scope = anyio.CancelScope()
        # One bound method for all tasks in flight, instead of one for each.
        self._take = self._took
        self._closing = False
        self._news = Signal()
        self._space = Signal()

    def stop(self) -> None:
        """Submit no more, because nobody wants to know."""
        self._stopped = True
        self._outcomes.clear()
        self._early.clear()
        self.end_reading()
        for flight in tuple(self._flights):
            flight.abandon()

    def stop_submitting(self, why: FoxAPIError) -> None:
        """Submit no more; what is in flight is still told."""
        if self._fatal is None:
            self._fatal = why
        self.end_reading()
        for flight in tuple(self._flights):
            flight.abandon()

    def close(self) -> None:
        """Submit no more, because the session ends; what is known is still told."""
        self._closing = True
        if self._reading:
            self._input_error = SessionClosedError(
                f"the session ended after {self._read_items} requests of the input were read"
            )
        self.end_reading()

    async def next_outcome(self) -> Outcome:
        """Wait for the next outcome.

        Raises:
            StopAsyncIteration: There is none left.
        """
        while not self._outcomes:
            if self._stopped or not (self._reading or self._open):
                error, self._input_error = self._input_error, None
                if error is not None and not self._stopped:
                    raise error
                raise StopAsyncIteration
            await self._news.wait()
        self._open -= 1
        self._space.set()
        return self._outcomes.popleft()

    def end_reading(self) -> None:
        """Leave the rest of the input."""
        # An iterator that outlives its event loop stops here when it is collected, and a scope can be
        # cancelled only inside of one; by then the reading has long ended.
        if self._reading:
            self._reading = False
            self._scope.cancel()
        self._news.set()

    async def read(self) -> None:
        """Read the input to its end and submit what it holds."""
        try:
            with self._scope:
                await self._read()
        except Exception as error:  # noqa: BLE001 - the input may raise whatever it likes
            self._input_error = error
        except anyio.get_cancelled_exc_class() as error:
            if self._closing:
                raise
            # Not ours: the input waited for something that was cancelled.
            self._input_error = FoxAPIError("the input of map was cancelled")
            self._input_error.__cause__ = error
        finally:
            self._reading = False
            self._news.set()

    async def _read(self) -> None:
        async for item in _each(self._items):
            # While outcomes are waiting to be read, nobody may be reading any more: an iterator that
            # is still held after a `break` says nothing.
            while self._outcomes or self._open >= self._window:
                await self._space.wait()
            index = self._read_items
            key, request = _parts(item, index)
            self._read_items += 1
            self._open += 1
            try:
                flight = Submission(
                    request, key, index, stop=self._why_to_stop, on_done=self._landed
                )
            except FoxAPIError as error:
                self._put(Outcome.of_error(request, key, index, error, None))
                continue
            if not self._submitter.asks_for(key):
                await self._submit(flight)
                continue
            self._keys_ahead += 1
            self._outputs_ahead += flight.outputs
            self._start(self._ask_and_submit, flight)
            while self._is_far_ahead():
                await self._space.wait()

    def _is_far_ahead(self) -> bool:
        """Whether what was read must be launched before more is, so that the input is read lazily."""
        if self._keys_ahead == 0:
            return False
        return (
            self._keys_ahead >= _KEYS_AT_ONCE or self._outputs_ahead >= self._submitter.free_places
        )

    def _why_to_stop(self) -> FoxAPIError | None:
        return self._fatal

    async def _ask_and_submit(self, flight: Submission) -> None:
        """Launch a flight beside others, since the answer of the journal takes a while."""
        try:
            with anyio.CancelScope() as flight.scope:
                if flight.abandoned:
                    flight.scope.cancel()
                await self._submit(flight)
        except Exception as error:  # noqa: BLE001 - whatever it was, the reader must be told
            self._input_error = error
            self.end_reading()
        finally:
            flight.scope = None
            self._keys_ahead -= 1
            self._outputs_ahead -= flight.outputs
            self._space.set()

    async def _submit(self, flight: Submission) -> None:
        if self._fatal is not None:
            self._not_submitted(flight, self._fatal)
            return
        self._flights.add(flight)
        try:
            await self._submitter.launch(flight, partial(self._start, self._submitter.fly))
        except FoxAPIError as error:
            self._flights.discard(flight)
            self._fell_through(flight, error)
        except anyio.get_cancelled_exc_class():
            self._flights.discard(flight)
            closed = SessionClosedError("the session ended before there was room; nothing was sent")
            self._not_submitted(flight, self._fatal or closed)
            raise
        except BaseException:
            self._flights.discard(flight)
            self._open -= 1
            raise

    def _landed(self, flight: Submission) -> None:
        self._flights.discard(flight)
        watch = flight.watch
        if watch is None:
            error = flight.failure()
            if error is self._fatal:
                self._not_submitted(flight, error)
                return
            self._note_fatal(error)
            self._fell_through(flight, error)
        elif watch.ended:
            self._ended(watch, flight.index, flight.request, flight.key)
        elif watch.taker is None and watch.request is flight.request and watch.key == flight.key:
            watch.taker, watch.index = self._take, flight.index
        else:  # another's task, whose key was asked for again
            tell = partial(self._ended, watch, flight.index, flight.request, flight.key)
            watch.on_end.append(tell)

    def _took(self, watch: TrackedTask) -> None:
        assert watch.request is not None
        self._ended(watch, watch.index, watch.request, watch.key)

    def _ended(self, watch: TrackedTask, index: int, request: Request, key: str | None) -> None:
        if watch.error is None:
            outcome = Outcome(request, key, index, "completed", watch.latest)
        else:
            self._note_fatal(watch.error)
            outcome = Outcome.of_error(request, key, index, watch.error.again(), watch.latest)
        self._put(outcome)

    def _fell_through(self, flight: Submission, error: FoxAPIError) -> None:
        self._put(Outcome.of_error(flight.request, flight.key, flight.index, error, None))

    def _note_fatal(self, error: FoxAPIError) -> None:
        if self._fatal is None and isinstance(error, _FATAL):
            self._fatal = error

    def _not_submitted(self, flight: Submission, error: FoxAPIError) -> None:
        request, key, index = flight.request, flight.key, flight.index
        self._put(Outcome(request, key, index, "not_submitted", None, error.again()))

    def _put(self, outcome: Outcome) -> None:
        if self._stopped:
            return
        if not self._ordered:
            self._outcomes.append(outcome)
        else:
            self._early[outcome.index] = outcome
            while (ready := self._early.pop(self._next, None)) is not None:
                self._outcomes.append(ready)
                self._next += 1
        self._news.set()


def _let_go(run: Run, loop: asyncio.AbstractEventLoop) -> None:
    """Stop a run whose outcomes nobody can ask for any more; perhaps from another thread's GC."""
    if loop.is_closed():
        return
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        run.stop()
    else:
        loop.call_soon_threadsafe(run.stop)


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    for number, item in enumerate(items, 1):
        yield item
        # A long input whose items are decided at once must not hold up the event loop.
        if number % _ITEMS_AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()


def _parts(item: object, index: int) -> tuple[str | None, Request]:
    key: object = None
    request: object = item
    if is_tuple(item) and len(item) == 2:  # noqa: PLR2004
        key, request = item
    if not isinstance(request, Request) or not (key is None or isinstance(key, str)):
        raise InvalidRequestError(
            f"item {index} of the input is {item!r}; it must be a request or a (key, request) pair",
            field=f"requests[{index}]",
            value=item,
        )
    return key, request
