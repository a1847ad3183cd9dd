"""An event loop whose clock skips to the next timer when there is nothing else to do.

Real sockets and real threads work as usual: the clock does not skip while a socket is ready or a
worker thread is busy. ``await anyio.sleep(300)`` takes no real time and 300 seconds of loop time.

The clock stands still while callbacks run, so a slow machine does not change what a test sees.
"""

from __future__ import annotations

import asyncio
import inspect
import selectors
import time
from typing import Any

_SOCKETS_FIRST = 0.0005
"""Real seconds to wait for data of a local peer before the clock skips."""


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0 or self._loop.busy_threads():
            return self._wait(timeout)
        ready = self._wait(min(timeout, _SOCKETS_FIRST))
        if not ready and not self._loop.busy_threads():
            self._loop.now += timeout
        return ready

    def _wait(self, timeout: float | None) -> Any:
        began = time.monotonic()
        ready = super().select(timeout)
        self._loop.now += time.monotonic() - began
        return ready


class CheckedLoop(asyncio.SelectorEventLoop):
    """Refuse what asyncio's debug mode refuses: callbacks from another thread, and coroutines as callbacks.

    Debug mode also records a traceback for every callback, task and future. That doubles the processor
    time of the tests, so only the environment `debug` does it.
    """

    def call_soon(self, callback: Any, *args: Any, **options: Any) -> asyncio.Handle:
        self._check(callback, "call_soon")
        return super().call_soon(callback, *args, **options)

    def call_at(
        self, when: float, callback: Any, *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        self._check(callback, "call_at")
        return super().call_at(when, callback, *args, **options)

    def _check(self, callback: Any, method: str) -> None:
        self._check_thread()  # type: ignore[attr-defined]
        code = getattr(callback, "__code__", None)
        if code is not None and code.co_flags & inspect.CO_COROUTINE:
            self._check_callback(callback, method)  # type: ignore[attr-defined]


class VirtualTimeLoop(CheckedLoop):
    """Run with ``asyncio.Runner(loop_factory=VirtualTimeLoop)`` or through ``anyio_backend``."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._executor_jobs = 0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        return self.now

    def busy_threads(self) -> bool:
        return self._executor_jobs > 0 or _anyio_threads_busy(self)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._executor_jobs += 1
        future.add_done_callback(self._executor_job_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        self._executor_jobs += 1  # the threads that are joined count as busy
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._executor_jobs -= 1

    def _executor_job_done(self, _future: object) -> None:
        self._executor_jobs -= 1


def _anyio_threads_busy(loop: asyncio.AbstractEventLoop) -> bool:
    # anyio reports the number of busy worker threads only inside a task. The selector runs outside
    # of any task, so read the limiter of this loop from anyio's internal state.
    from anyio import lowlevel  # noqa: PLC0415
    from anyio._backends import _asyncio  # noqa: PLC0415

    limiter = lowlevel._run_vars.get(loop, {}).get(_asyncio._default_thread_limiter)
    return limiter is not None and limiter.borrowed_tokens > 0
