"""The tasks that a session runs for its callers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

__all__ = ["Nursery"]

_log = logging.getLogger("foxapi_async")


class Nursery:
    """Starts tasks of which none can end another.

    In a task group a child that fails ends its siblings, and so does one that somebody cancels from
    outside. Here siblings are the submissions of different callers, which have nothing to do with
    each other.
    """

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group

    def start(self, work: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Run ``work(*arguments)`` in a task of its own."""
        self._group.start_soon(self._see_to, work, arguments)

    def cancel(self) -> None:
        """Cancel what still runs."""
        self._group.cancel_scope.cancel()

    async def _see_to(
        self, work: Callable[..., Awaitable[object]], arguments: tuple[object, ...]
    ) -> None:
        try:
            await work(*arguments)
        except anyio.get_cancelled_exc_class():
            if self._group.cancel_scope.cancel_called:
                raise
            _log.warning("%s was cancelled from outside the session", work)
        except Exception:  # noqa: BLE001
            _log.exception("%s went wrong", work)
