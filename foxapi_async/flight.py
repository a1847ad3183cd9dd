"""One submission, from the moment in which somebody asks for it until it is over."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import anyio
import attrs

from foxapi_async.errors import FoxAPIError
from foxapi_async.polling.watch import Watch
from foxapi_async.requests import Request

if TYPE_CHECKING:
    from foxapi_async.journal import Claim

__all__ = ["Flight"]


@attrs.define(eq=False, repr=False)
class Flight:
    """One submission under way.

    ``sending`` is true from the first byte of a POST to its answer: in that time it must not be cut
    off. ``stop`` is asked before each POST and returns the error with which not to send it.
    ``declined`` is why the last POST created nothing, if there is to be another. ``index`` is the
    position in the input of a run, ``group`` names the tasks that take about as long.
    """

    request: Request
    key: str | None
    index: int = 0
    stop: Callable[[], FoxAPIError | None] = lambda: None
    on_done: Callable[[Flight], None] = lambda _: None
    sending: bool = False
    abandoned: bool = False
    stopped: bool = False
    group: Hashable = None
    claim: Claim | None = None
    declined: FoxAPIError | None = None
    watch: Watch | None = None
    error: FoxAPIError | None = None
    scope: anyio.CancelScope | None = None
    is_over: bool = False
    _over: anyio.Event | None = None

    def abandon(self) -> None:
        """Stop as soon as that is safe: at once, or after the POST under way."""
        self.abandoned = True
        if not self.sending and self.scope is not None:
            self.scope.cancel()

    def land(self) -> None:
        """Tell those who wait that the submission is over."""
        if self.is_over:
            return
        self.is_over = True
        if self._over is not None:
            self._over.set()
        self.on_done(self)

    async def over(self) -> None:
        """Wait until the submission is over."""
        if not self.is_over:
            # Made here, because most of a run's submissions are waited for by nobody.
            self._over = self._over or anyio.Event()
            await self._over.wait()

    def landed(self) -> Watch:
        """Return the watch of the task, or raise what ended the submission."""
        if self.error is not None:
            raise self.error
        assert self.watch is not None
        return self.watch
