"""Work that is due at a moment, which may still be moved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context

__all__ = ["Alarm"]


class Alarm:
    """Calls ``act`` at a moment on the clock of the event loop, while somebody waits.

    Who waits is woken only if ``act`` returns True, or if it rings: a turn of the event loop for
    each moment would cost as much as the work. A cancel scope with a deadline would cost more still.

    Args:
        act: What is to be done. It may set the next moment; what it raises, `wait` raises.
    """

    __slots__ = ("_act", "_at", "_context", "_timer", "_waiter")

    def __init__(self, act: Callable[[], bool]) -> None:
        self._act = act
        self._at = math.inf
        self._context: Context | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """Forget the moment that was set."""
        self._at = math.inf

    def set(self, moment: float) -> None:
        """Act by a moment, unless a sooner one is set already."""
        if moment < self._at:
            self._at = moment
            if self._waiter is not None:
                self._start_timer(self._waiter)

    def ring(self) -> None:
        """Wake who waits; who does not wait yet will not wait long."""
        self._at = -math.inf
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it rings, and act meanwhile, with the caller's context variables. Only one may wait."""
        self._context = self._context or copy_context()
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self._start_timer(waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            self._stop_timer()

    def _start_timer(self, waiter: asyncio.Future[None]) -> None:
        self._stop_timer()
        if self._at < math.inf:
            # Not with those of whoever happened to set the moment.
            loop = waiter.get_loop()
            self._timer = loop.call_at(self._at, self._fire, waiter, context=self._context)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, waiter: asyncio.Future[None]) -> None:
        self._timer = None
        if waiter.done():
            return
        rung, self._at = self._at == -math.inf, math.inf
        try:
            if (rung or self._act()) and not waiter.done():
                waiter.set_result(None)
        except Exception as fault:  # noqa: BLE001 - raised by `wait`
            waiter.set_exception(fault)
