"""Whether a session may be used here and now."""

from __future__ import annotations

import asyncio

from foxapi_async.errors import ConfigurationError, SessionClosedError

__all__ = ["SessionState"]


class SessionState:
    """The event loop of an open session, and whether it has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed = False

    def check(self) -> None:
        """Refuse a call after the end, or from another event loop.

        Raises:
            SessionClosedError: The session has ended.
            ConfigurationError: Another event loop is running here, or none.
        """
        if self.closed:
            raise SessionClosedError("the session has ended; open a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:
            raise ConfigurationError(
                "the session was opened in another event loop; open a session in the loop that uses it"
            )
