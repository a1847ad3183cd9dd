"""An event loop in a thread of its own, and calls into it that may be interrupted.

`anyio.from_thread` starts and ends the thread. Its calls are not used: interrupted, they leave without
waiting for what they have started, which may be a billed POST.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import thread as _executors
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar, TypeVarTuple, cast

from anyio.from_thread import start_blocking_portal

from foxapi_async.errors import ConfigurationError, SessionClosedError

T = TypeVar("T")
P = TypeVarTuple("P")

_log = logging.getLogger("foxapi_async")

LOOKS: Final = 0.5 if sys.platform == "win32" else None
"""Seconds between two looks for an interrupt; elsewhere it wakes a thread that waits."""

_NOTICE: Final = 1.0
"""Seconds after which an interrupted call says what it waits for."""

_CLOSED: Final = "the session has ended; open a new one"


class LoopThread:
    """An event loop in a thread; any other thread may call into it until it is closed.

    ``closing`` runs in the loop when `close` is called, at the latest when the main thread ends.
    """

    def __init__(self, closing: Callable[[], Awaitable[None]]) -> None:
        self._closing = closing
        self._process = os.getpid()
        # A signal handler may call, too, while the thread that it interrupts holds the lock.
        self._lock = threading.RLock()
        self.has_ended: bool = False
        """Whether no call is accepted any more."""
        self._portal_manager = start_blocking_portal("asyncio", name="foxapi-async session")
        self._is_stopped = False
        portal = self._portal_manager.__enter__()
        self._loop: asyncio.AbstractEventLoop = portal.call(asyncio.get_running_loop)
        self._thread_id = portal.call(threading.get_ident)
        _open.add(self)

    @property
    def is_open(self) -> bool:
        """Whether calls are possible, in this process."""
        return not self.has_ended and self._process == os.getpid()

    def run(self, function: Callable[[*P], Awaitable[T]], *args: *P) -> T:
        """Await ``function(*args)`` in the loop; return its result, or raise what it raises.

        If the thread is interrupted, the call is cancelled, and the interrupt goes on when the call has
        ended.

        Raises:
            ConfigurationError: In the thread of the loop, or in another process than that of the loop.
            SessionClosedError: The loop has ended.
        """
        self.check()
        call = LoopCall(partial(function, *args))
        try:
            self._schedule(call.start)
            call.wait()
        except SessionClosedError:
            raise
        except BaseException:
            self.cancel(call)
            raise
        return call.result()

    def call(self, function: Callable[[*P], T], *args: *P) -> T:
        """Call a function that is not async in the loop; otherwise as `run`."""

        async def call() -> T:
            return function(*args)

        return self.run(call)

    def start(self, call: LoopCall[Any]) -> None:
        """Start a call without waiting for it; raises as `run` does."""
        self.check()
        self._schedule(call.start)

    def cancel(self, call: LoopCall[Any]) -> None:
        """Cancel a call and wait for its end, which nothing interrupts: it may be a billed POST."""
        with suppress(SessionClosedError):
            self._to_the_end(call, lambda: self._schedule(call.cancel))

    def run_to_end(self, function: Callable[[], Awaitable[object]]) -> None:
        """Await ``function()`` in the loop; an interrupt goes on only when it has ended by itself."""
        self.check()
        call = LoopCall(function)
        interrupt = self._to_the_end(call, lambda: self._schedule(call.start))
        if interrupt is not None:
            raise interrupt
        call.result()

    def close(self) -> None:
        """Run ``closing`` and end the thread. Again, or in a forked process, it does nothing."""
        if not self.is_open:
            return
        try:
            self.run_to_end(self._closing)
        except SessionClosedError:
            return  # another thread was faster
        finally:
            self.stop()

    def stop(self) -> None:
        """End the thread without running `closing`."""
        with self._lock:
            self.has_ended = True
            if self._is_stopped:
                return
            self._is_stopped = True
        _open.discard(self)
        self._portal_manager.__exit__(None, None, None)

    def check(self) -> None:
        """Refuse calls that would never return: from the loop itself, or from a forked process."""
        if self._process != os.getpid():
            raise ConfigurationError(
                f"the session was opened in process {self._process}, and this one ({os.getpid()}) was "
                "forked from it: the thread of the session and its connections are not here. Open a "
                "session in each process, after the fork"
            )
        if threading.get_ident() == self._thread_id:
            raise ConfigurationError(
                "the session was called from its own event loop, for example from on_event, and would "
                "wait for itself; let the listener put the event into a queue for another thread"
            )

    def _schedule(self, callback: Callable[[], object]) -> None:
        # What is scheduled before the flag is set is run: the loop is stopped after that.
        with self._lock:
            if self.has_ended:
                raise SessionClosedError(_CLOSED)
            self._loop.call_soon_threadsafe(callback)

    def _to_the_end(
        self, call: LoopCall[Any], schedule: Callable[[], None]
    ) -> BaseException | None:
        """Wait for the end of a call whatever happens, and return the first interrupt."""
        interrupt: BaseException | None = None
        is_scheduled = has_told = False
        while not call.has_ended:
            try:
                if not is_scheduled:
                    schedule()
                    is_scheduled = True
                if not call.wait(_NOTICE) and not has_told:
                    has_told = True
                    _log.warning(
                        "waiting for a POST under way, so that the id of its task is not lost; an "
                        "interrupt goes on after that"
                    )
            except SessionClosedError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised by the caller
                interrupt = interrupt or error
        return interrupt


class LoopCall(Generic[T]):
    """One call into the loop; another thread waits for its end."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._task: asyncio.Task[None] | None = None
        self._ended = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def has_ended(self) -> bool:
        """Whether there is a result or an error."""
        return self._ended.is_set()

    def start(self) -> None:
        """Start the call, in the loop, unless it was cancelled before."""
        if not self.has_ended:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Cancel the call, in the loop."""
        if self._task is not None:
            self._task.cancel()
        elif not self.has_ended:
            self._end(SessionClosedError(_CLOSED))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most so many seconds, and return whether it has come."""
        if timeout is not None:
            return self._ended.wait(timeout)
        while not self._ended.wait(LOOKS):
            pass
        return True

    def result(self) -> T:
        """Return the result of a call that has ended, or raise its error."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or the traceback would keep this frame and what it refers to
        return cast("T", self._result)

    async def _run(self) -> None:
        try:
            self._result = await self._function()
        except asyncio.CancelledError:
            self._end(SessionClosedError(_CLOSED))  # unless the caller has left, the loop ends
            raise
        # Not even SystemExit may end the loop, on which all other calls depend.
        except BaseException as error:  # noqa: BLE001
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ended.set()


_open: Final[set[LoopThread]] = set()


def _close_all() -> None:
    for loop_thread in tuple(_open):
        if loop_thread.is_open:
            _log.warning("a session was not closed; it ends with the program")
            loop_thread.close()


# At `atexit` no executor takes jobs any more, and the journal could not record the id of a POST under
# way. Python calls these earlier, in reverse order, so after the import of the executors.
assert _executors is not None
getattr(threading, "_register_atexit", atexit.register)(_close_all)
