"""Work that is due at a moment, which may still be moved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import NamedTuple

__all__ = ["Alarm"]


class _Wait(NamedTuple):
    over: asyncio.Future[None]
    act: Callable[[], None]
    context: Context


class Alarm:
    """Lets somebody who waits act at a moment on the clock of the event loop.

    Who waits is woken only if it rings: a turn of the event loop for each moment would cost as much
    as the work. A cancel scope with a deadline would cost more still.
    """

    __slots__ = ("_at", "_timer", "_wait")

    def __init__(self) -> None:
        self._at = math.inf
        self._wait: _Wait | None = None
        self._timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """Forget the moment that was set."""
        self._at = math.inf

    def set(self, moment: float) -> None:
        """Act by a moment, unless a sooner one is set already."""
        if moment < self._at:
            self._at = moment
            if self._wait is not None:
                self._start_timer(self._wait)

    def ring(self) -> None:
        """Wake who waits; who does not wait yet will not wait long."""
        self._at = -math.inf
        if self._wait is not None and not self._wait.over.done():
            self._wait.over.set_result(None)

    async def wait(self, act: Callable[[], None]) -> None:
        """Wait until it rings, and act at each moment that comes. Only one may wait.

        Args:
            act: Called in a copy of the caller's context. It may set the next moment, or ring; what
                it raises is raised here.
        """
        over = asyncio.get_running_loop().create_future()
        self._wait = _Wait(over, act, copy_context())
        self._start_timer(self._wait)
        try:
            await over
        finally:
            self._wait = None
            self._stop_timer()

    def _start_timer(self, wait: _Wait) -> None:
        self._stop_timer()
        if self._at < math.inf:
            # Not in the context of whoever happened to set the moment.
            loop = wait.over.get_loop()
            self._timer = loop.call_at(self._at, self._fire, wait, context=wait.context)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, wait: _Wait) -> None:
        self._timer = None
        if wait.over.done():
            return
        if self._at == -math.inf:  # it rang before anybody waited
            wait.over.set_result(None)
            return
        self._at = math.inf
        try:
            wait.act()
        except Exception as fault:  # noqa: BLE001 - raised by `wait`
            wait.over.set_exception(fault)
