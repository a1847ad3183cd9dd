"""What anyio and asyncio lack: six small pieces of structured concurrency.

Each says what it is for. `benchmarks/README.md` has the figures of those that are here for speed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Final, Generic, NamedTuple, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import anyio
import anyio.abc

T = TypeVar("T")
P = TypeVarTuple("P")

_log = logging.getLogger("foxapi_async")

_MAX_THREADS: Final = 12
"""Threads per event loop. They wait for disks, so there are more than cores; with 32 of them, which
contend for the interpreter's lock, downloads were a quarter slower."""


class Signal:
    """Wakes all waiters, any number of times; an event would have to be cleared in between.

    No wake-up is lost if the caller checks its condition and calls `wait` without awaiting in
    between.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        # Of asyncio: one of anyio finds out first which event loop it is in, at five times the cost.
        self._next: asyncio.Event | None = None

    def set(self) -> None:
        """Wake all waiters."""
        event, self._next = self._next, None
        if event is not None:
            event.set()

    async def wait(self) -> None:
        """Wait for the next `set`."""
        # Created here because most signals have no waiter.
        self._next = self._next or asyncio.Event()
        await self._next.wait()


class WeightedLimiter:
    """Lends at most ``total`` of something, first come first served; tokens of anyio's weigh one each.

    A borrower takes all that it needs at once. So no borrower waits while it holds a part, and the
    waits cannot block each other.
    """

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._queue: deque[tuple[int, anyio.Event]] = deque()

    async def acquire(self, weight: int) -> int:
        """Wait for so much, or for all if it is more, and return what to release."""
        weight = min(weight, self._total)
        waiter = (weight, anyio.Event())
        self._queue.append(waiter)
        self._admit()
        try:
            await waiter[1].wait()
        except BaseException:
            if waiter[1].is_set():
                self.release(weight)
            else:
                self._queue.remove(waiter)
                self._admit()
            raise
        return weight

    def occupy(self, weight: int) -> int:
        """Take so much without waiting, even beyond the total, and return what to release."""
        self._free -= weight
        return weight

    def release(self, weight: int) -> None:
        """Give back what was acquired."""
        self._free += weight
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._queue[0][0] <= self._free:
            weight, admitted = self._queue.popleft()
            self._free -= weight
            admitted.set()


class _TimerWait(NamedTuple):
    woken: asyncio.Future[None]
    callback: Callable[[], None]
    context: Context


class DeadlineTimer:
    """A timer for one waiter whose deadline can move and which calls back before it wakes.

    A wake-up per deadline costs a turn of the event loop, about a tenth of the CPU of a poll
    (`benchmarks.cpu`), and a cancel scope with a deadline costs more.
    """

    __slots__ = ("_deadline", "_timer", "_waiter")

    def __init__(self) -> None:
        self._deadline = math.inf
        self._waiter: _TimerWait | None = None
        self._timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """Remove the deadline."""
        self._deadline = math.inf

    def set(self, deadline: float) -> None:
        """Call back at this moment of the loop's clock, unless an earlier deadline is set."""
        if deadline < self._deadline:
            self._deadline = deadline
            if self._waiter is not None:
                self._start(self._waiter)

    def wake(self) -> None:
        """Wake the waiter; without one, the next `wait` returns at once."""
        self._deadline = -math.inf
        if self._waiter is not None and not self._waiter.woken.done():
            self._waiter.woken.set_result(None)

    async def wait(self, callback: Callable[[], None]) -> None:
        """Wait until `wake`, and call back at each deadline, outside any task.

        The callback may set the next deadline, or wake. `wait` raises what it raises.
        """
        woken = asyncio.get_running_loop().create_future()
        self._waiter = _TimerWait(woken, callback, copy_context())
        self._start(self._waiter)
        try:
            await woken
        finally:
            self._waiter = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _start(self, waiter: _TimerWait) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deadline < math.inf:
            # The context of the waiter, not of the caller that happened to set the deadline.
            loop = waiter.woken.get_loop()
            self._timer = loop.call_at(self._deadline, self._fire, waiter, context=waiter.context)

    def _fire(self, waiter: _TimerWait) -> None:
        self._timer = None
        if waiter.woken.done():
            return
        if self._deadline > -math.inf:  # else wake() came before wait()
            self._deadline = math.inf
            self._waiter = None  # the callback may set several deadlines; one timer is enough
            try:
                waiter.callback()
            except Exception as fault:  # noqa: BLE001 - raised by `wait`
                waiter.woken.set_exception(fault)
                return
            self._waiter = waiter
        if self._deadline == -math.inf:
            self.wake()
        else:
            self._start(waiter)


class WorkerPool(Generic[T]):
    """Runs each job in a task that takes the next job when it is done.

    Starting a task costs about a tenth of the CPU of a poll (`benchmarks.cpu`). What ``work`` raises
    ends the group.
    """

    def __init__(self, group: anyio.abc.TaskGroup, work: Callable[[T], Awaitable[object]]) -> None:
        self._group = group
        self._work = work
        self._idle: list[asyncio.Future[T]] = []

    def submit_to_idle(self, job: T) -> bool:
        """Give a job to an idle worker and return whether there was one. Callbacks may call this."""
        if not self.has_idle:
            return False
        self._idle.pop().set_result(job)
        return True

    def submit(self, job: T) -> None:
        """Give a job to an idle worker or to a new one.

        Only a task may call this: anyio starts tasks from nowhere else (with sniffio installed it
        raises `NoEventLoopError`).
        """
        if not self.submit_to_idle(job):
            self._group.start_soon(self._serve, job)

    @property
    def has_idle(self) -> bool:
        """Whether `submit_to_idle` would find a worker."""
        while self._idle and self._idle[-1].done():  # its worker was cancelled from outside
            self._idle.pop()
        return bool(self._idle)

    async def _serve(self, job: T) -> None:
        next_job: asyncio.Future[T] | None = None
        try:
            while True:
                await self._work(job)
                next_job = asyncio.get_running_loop().create_future()
                self._idle.append(next_job)
                job = await next_job
                next_job = None
        except asyncio.CancelledError:
            # Raising would end the group, even if only this task was cancelled from outside. If the
            # whole group was, returning is as good.
            if next_job is not None and next_job.done() and not next_job.cancelled():
                self.submit(next_job.result())  # cancelled at the moment it got a job


class Supervisor:
    """Starts tasks that cannot end each other, in a ``group`` that its owner enters.

    In a task group a child that fails, or that is cancelled from outside, ends its siblings. Here
    the siblings are submissions of different callers, which have nothing to do with each other.
    """

    def __init__(self) -> None:
        self.group: anyio.abc.TaskGroup = anyio.create_task_group()

    def start(self, function: Callable[[*P], Awaitable[object]], *args: *P) -> None:
        """Run ``function(*args)`` in a task of its own, in a copy of the caller's context."""
        self.group.start_soon(self._run, function, args)

    def cancel(self) -> None:
        """Cancel all tasks."""
        self.group.cancel_scope.cancel()

    async def _run(self, function: Callable[[*P], Awaitable[object]], args: tuple[*P]) -> None:
        try:
            await function(*args)
        except anyio.get_cancelled_exc_class():
            if self.group.cancel_scope.cancel_called:
                raise
            _log.warning("%s was cancelled from outside the session", function)
        except Exception:  # noqa: BLE001
            _log.exception("%s failed", function)


async def finish_despite_cancellation(wait: Callable[[], Awaitable[object]]) -> None:
    """Await ``wait()`` to its end even if the caller is cancelled, then raise the cancellation.

    A shielded scope keeps out cancel scopes. It does not keep out ``Task.cancel()``, which
    ``asyncio.timeout``, ``asyncio.wait_for`` and web servers use. So a cancellation is caught, and
    raised again at the end. ``wait`` may be called several times; what it awaits must outlive a
    cancelled call.
    """
    cancellation: BaseException | None = None
    done = False
    with anyio.CancelScope(shield=True):
        while not done:
            try:
                await wait()
                done = True
            except anyio.get_cancelled_exc_class() as error:
                cancellation = error
    if cancellation is not None:
        raise cancellation


# Not the default executor of the loop: it resolves host names, which must not wait for a disk.
# Keyed by loop because a forked process has another loop and none of the threads.
_pools: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor]] = (
    WeakKeyDictionary()
)


class ThreadJob(Generic[T]):
    """A function that runs in a worker thread from now on.

    A thread cannot be stopped. So a cancelled `wait` returns only after the function has ended;
    otherwise a file would still be written to while it is being removed.
    """

    __slots__ = ("_future",)

    def __init__(self, function: Callable[[*P], T], *args: *P) -> None:
        loop = asyncio.get_running_loop()
        pool = _pools.get(loop)
        if pool is None:
            pool = _pools[loop] = ThreadPoolExecutor(_MAX_THREADS, "foxapi-files")
        self._future = loop.run_in_executor(pool, function, *args)

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back in the event loop when the function has ended."""
        self._future.add_done_callback(lambda _: callback())

    def result(self) -> T:
        """Return what the function has returned, or raise what it has raised; it must have ended."""
        return self._future.result()

    async def wait(self) -> T:
        """Return what the function returns, or raise what it raises."""
        await finish_despite_cancellation(self._settle)
        return self._future.result()

    async def _settle(self) -> None:
        await asyncio.wait([self._future])
        if not self._future.cancelled():
            self._future.exception()  # counts as retrieved, should the caller be cancelled


async def run_in_thread(function: Callable[[*P], T], *args: *P) -> T:
    """Run a function in a worker thread and return its result; see `ThreadJob`."""
    return await ThreadJob(function, *args).wait()
