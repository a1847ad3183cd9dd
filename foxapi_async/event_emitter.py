"""The way from what happens to the one who listens."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable

from foxapi_async.errors import ConfigurationError
from foxapi_async.events import Event

__all__ = ["EventEmitter"]

_log = logging.getLogger("foxapi_async")


class EventEmitter:
    """Hands events to the listener, if there is one."""

    def __init__(self, listener: Callable[[Event], object] | None) -> None:
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(
                "on_event is a coroutine function, which nobody would await; it must be a plain "
                "function, which may put the event into a queue"
            )
        self._listener = listener

    def __bool__(self) -> bool:
        """Whether anybody listens, so that an event is worth building."""
        return self._listener is not None

    def __call__(self, event: Event) -> None:
        """Tell the listener of an event."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - not the listener's to start
            _log.exception("on_event raised for %s; the run goes on", type(event).__name__)
