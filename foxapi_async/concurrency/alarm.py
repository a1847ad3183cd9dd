"""A wait for a moment that may still be moved."""

from __future__ import annotations

import asyncio
import math

__all__ = ["Alarm"]


class Alarm:
    """Wakes the one who waits at a moment on the clock of the event loop, or at once.

    A cancel scope with a deadline does the same at three times the price: it cancels, and catches
    its own cancellation.
    """

    __slots__ = ("_at", "_timer", "_waiter")

    def __init__(self) -> None:
        self._at = math.inf
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """Forget the moment that was set."""
        self._at = math.inf

    def set(self, moment: float) -> None:
        """Wake by a moment, unless a sooner one is set already."""
        if moment < self._at:
            self._at = moment
            if self._waiter is not None:
                self._start_timer(self._waiter)

    def ring(self) -> None:
        """Wake at once; who does not wait yet will not wait long."""
        self._at = -math.inf
        if self._waiter is not None:
            _wake(self._waiter)

    async def wait(self) -> None:
        """Wait until the moment that is set, or until it rings. Only one may wait."""
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
            self._timer = waiter.get_loop().call_at(self._at, _wake, waiter)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
