"""The way from what happens to the listener of the session."""

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
    """Gives events to the listener of the session, if there is one.

    Args:
        listener: A plain function, which is called in the event loop of the session.

    Raises:
        ConfigurationError: The listener is a coroutine function.
    """

    def __init__(self, listener: Callable[[Event], object] | None) -> None:
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(
                "on_event is a coroutine function, and nothing would await it; pass a plain "
                "function, which may put the event into a queue"
            )
        self._listener = listener
        self.has_listener = listener is not None
        """Whether an event is worth building."""

    def emit(self, event: Event) -> None:
        """Call the listener. What it raises is logged and goes no further."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - a listener cancels nothing here
            _log.exception("on_event raised for %s; the session continues", type(event).__name__)
